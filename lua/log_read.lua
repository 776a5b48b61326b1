-- Reads a page of a room's log and the room's position, together.
--
-- KEYS
--   room   HASH
--   log    STREAM
-- ARGV
--   after  seq; events behind it are read
--   limit  events at most
-- RETURNS
--   {'OK', epoch, seq of the room, {event, …}} | {'ROOM_NOT_FOUND'}

local room, log = KEYS[1], KEYS[2]
local after, limit = ARGV[1], ARGV[2]

local place = redis.call('HMGET', room, 'epoch', 'seq')
if not place[1] then
  return {'ROOM_NOT_FOUND'}
end
local events = {}
for i, entry in ipairs(redis.call('XRANGE', log, '(' .. after .. '-0', '+', 'COUNT', limit)) do
  events[i] = entry[2][2]
end
return {'OK', place[1], tonumber(place[2]), events}
