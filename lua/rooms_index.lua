-- Notes in the index of rooms until when a room lives, and forgets those whose time is over.
--
-- KEYS
--   rooms     ZSET
-- ARGV
--   clock     ms, '' = Redis TIME
--   room_ttl  ms, 0 = for ever
--   …         room ids
-- RETURNS
--   {'OK'}
--@include clock

local rooms = KEYS[1]
local clock, room_ttl = ARGV[1], tonumber(ARGV[2])
local FIRST_ROOM = 3

local now_ms = clock_ms(clock)
redis.call('ZREMRANGEBYSCORE', rooms, '-inf', now_ms)
for i = FIRST_ROOM, #ARGV do
  redis.call('ZADD', rooms, room_ttl > 0 and now_ms + room_ttl or '+inf', ARGV[i])
end
return {'OK'}
