-- Writes or deletes a maintenance window, unless windows or webhooks have changed since they were read; tells the room.
--
-- KEYS
--   room       HASH of `all-endpoints`
--   log        STREAM
--   windows    HASH
-- ARGV
--   clock      ms, '' = Redis TIME
--   channel    where the event is published
--   revision   that was read
--   head       the event's JSON before the timestamp
--   tail       the event's JSON behind it: all windows as they are then
--   window_id  which
--   window     JSON, '' = it is deleted
--   …          ids of windows to be forgotten
-- RETURNS
--   {'OK'} | {'ROOM_NOT_FOUND'} | {'STALE'}: the revision is another one by now
-- EVENTS
--   `maintenance:changed`
--@include clock
--@include event_append

local room, log, windows = KEYS[1], KEYS[2], KEYS[3]
local clock, channel, revision, head, tail = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local window_id, window = ARGV[6], ARGV[7]
local FIRST_FORGOTTEN = 8

if redis.call('EXISTS', room) == 0 then
  return {'ROOM_NOT_FOUND'}
elseif (redis.call('HGET', room, 'revision') or '0') ~= revision then
  return {'STALE'}
end
event_append(room, log, channel, clock_ms(clock), head, tail)
redis.call('HINCRBY', room, 'revision', 1)
if window == '' then
  redis.call('HDEL', windows, window_id)
else
  redis.call('HSET', windows, window_id, window)
end
for i = FIRST_FORGOTTEN, #ARGV do
  redis.call('HDEL', windows, ARGV[i])
end
return {'OK'}
