-- Reads the room's history backwards: the events that are messages, without the coming and going between them.
--
-- KEYS
--   room      HASH
--   log       STREAM
--   messages  STREAM, one entry for each message in the log
-- ARGV
--   before    seq; messages in front of it are read
--   limit     messages at most
-- RETURNS
--   {'OK', epoch, seq of the room, 1 if there are older ones else 0, {newest event, …}} | {'ROOM_NOT_FOUND'}

local room, log, messages = KEYS[1], KEYS[2], KEYS[3]
local before, limit = ARGV[1], tonumber(ARGV[2])

local place = redis.call('HMGET', room, 'epoch', 'seq')
if not place[1] then
  return {'ROOM_NOT_FOUND'}
end
local events, more = {}, 0
for i, entry in ipairs(redis.call('XREVRANGE', messages, '(' .. before .. '-0', '-', 'COUNT', limit + 1)) do
  -- The index and the log are trimmed by themselves; what the log no longer holds is no history.
  local found = redis.call('XRANGE', log, entry[1], entry[1])[1]
  if not found then
    break
  end
  if i > limit then
    more = 1
  else
    events[i] = found[2][2]
  end
end
return {'OK', place[1], tonumber(place[2]), more, events}
