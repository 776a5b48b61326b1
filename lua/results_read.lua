-- Reads the newest results of an endpoint, and its last hours.
--
-- KEYS
--   results   STREAM
--   hours     HASH
-- ARGV
--   clock     ms, '' = Redis TIME
--   limit     results
--   count     hours, the current one included
-- RETURNS
--   {'OK', {{id, {field, value, …}}, …} newest first, {hour or false, …} oldest first}
--@include clock
--@include event_append
--@include history

local results, hours = KEYS[1], KEYS[2]
local clock, limit, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local HOUR_MS, HOUR_LENGTH = 3600000, 13

local now_ms, names = clock_ms(clock), {}
for i = 1, count do
  names[i] = string.sub(iso8601(now_ms - (count - i) * HOUR_MS), 1, HOUR_LENGTH)
end
return {'OK', history_newest(results, limit), redis.call('HMGET', hours, unpack(names))}
