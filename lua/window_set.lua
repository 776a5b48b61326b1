-- Writes a maintenance window, new or in the place of a former one; forgets those that ended a week ago.
--
-- KEYS
--   room         HASH of `all-endpoints`
--   log          STREAM
--   windows      HASH
-- ARGV
--   clock        ms, '' = Redis TIME
--   channel      where the event is published
--   window_id    which
--   former       JSON that it must have now, '' = it is new
--   window       JSON
--   windows_max  windows that there may be
--   bytes_max    bytes that they may have together
--   head         the event's JSON before the timestamp
-- RETURNS
--   {'OK', now} | {'ROOM_NOT_FOUND'} | {'WINDOW_NOT_FOUND'} | {'CONFLICT'}: it has changed | {'FULL'}
-- EVENTS
--   `maintenance:changed`
--@include clock
--@include event_append
--@include maintenance

local room, log, windows = KEYS[1], KEYS[2], KEYS[3]
local clock, channel, window_id, former, window = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local windows_max, bytes_max, head = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]

if redis.call('EXISTS', room) == 0 then
  return {'ROOM_NOT_FOUND'}
end
local current = redis.call('HGET', windows, window_id)
if former ~= '' and not current then
  return {'WINDOW_NOT_FOUND'}
elseif former ~= (current or '') then
  return {'CONFLICT'}
end
local now_ms = clock_ms(clock)
maintenance_forget(windows, now_ms)
local count, bytes = 1, #window
local all = redis.call('HGETALL', windows)
for i = 1, #all, 2 do
  if all[i] ~= window_id then
    count, bytes = count + 1, bytes + #all[i + 1]
  end
end
if count > windows_max or bytes > bytes_max then
  return {'FULL'}
end
redis.call('HSET', windows, window_id, window)
maintenance_tell(room, log, windows, channel, now_ms, head)
return {'OK', now_ms}
