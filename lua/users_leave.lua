-- Says that users have gone: their last connection has ended. What they chose is remembered as long as the session.
--
-- KEYS
--   …      two keys a user: presence STRING, session HASH
-- ARGV
--   clock  ms, '' = Redis TIME
-- RETURNS
--   {'OK'}
--@include clock

local clock = ARGV[1]

local now = string.format('%d', clock_ms(clock))
for i = 1, #KEYS, 2 do
  local presence, session = KEYS[i], KEYS[i + 1]
  redis.call('DEL', presence)
  if redis.call('EXISTS', session) == 1 then
    redis.call('HSET', session, 'lastSeen', now)
    redis.call('HDEL', session, 'roomId', 'joinedAt')
  end
end
return {'OK'}
