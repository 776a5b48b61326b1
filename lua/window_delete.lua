-- Deletes a maintenance window, and forgets those that ended a week ago.
--
-- KEYS
--   room       HASH of `all-endpoints`
--   log        STREAM
--   windows    HASH
-- ARGV
--   clock      ms, '' = Redis TIME
--   channel    where the event is published
--   window_id  which
--   head       the event's JSON before the timestamp
-- RETURNS
--   {'OK'} | {'ROOM_NOT_FOUND'} | {'WINDOW_NOT_FOUND'}
-- EVENTS
--   `maintenance:changed`
--@include clock
--@include event_append
--@include maintenance

local room, log, windows = KEYS[1], KEYS[2], KEYS[3]
local clock, channel, window_id, head = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if redis.call('EXISTS', room) == 0 then
  return {'ROOM_NOT_FOUND'}
elseif redis.call('HDEL', windows, window_id) == 0 then
  return {'WINDOW_NOT_FOUND'}
end
local now_ms = clock_ms(clock)
maintenance_forget(windows, now_ms)
maintenance_tell(room, log, windows, channel, now_ms, head)
return {'OK'}
