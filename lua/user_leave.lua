-- Ends one connection of a user, now or after a grace period; presence goes with the last one.
--
-- KEYS
--   presence    STRING
--   session     HASH
--   leases      ZSET
-- ARGV
--   clock       ms, '' = Redis TIME
--   connection  connection id
--   grace       ms, 0 = at once
-- RETURNS
--   {'OK', connections left}
--@include clock

local presence, session, leases = KEYS[1], KEYS[2], KEYS[3]
local clock, connection, grace = ARGV[1], ARGV[2], tonumber(ARGV[3])

local now_ms = clock_ms(clock)
redis.call('ZREMRANGEBYSCORE', leases, '-inf', now_ms)
if grace > 0 then
  redis.call('ZADD', leases, 'XX', 'LT', now_ms + grace, connection)
else
  redis.call('ZREM', leases, connection)
end
local last = redis.call('ZREVRANGE', leases, 0, 0, 'WITHSCORES')
if redis.call('EXISTS', session) == 1 then
  redis.call('HSET', session, 'lastSeen', string.format('%d', now_ms))
end
if not last[1] then
  redis.call('DEL', presence)
else
  -- Never longer than the last lease: when only dropped connections are left, that is the longest grace period.
  redis.call('PEXPIRE', presence, math.max(1, tonumber(last[2]) - now_ms), 'LT')
end
return {'OK', redis.call('ZCARD', leases)}
