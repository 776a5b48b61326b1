-- Shortens a lease to the grace period: its connection was dropped, but the user may be back in a moment.
--
-- KEYS
--   leases  ZSET
-- ARGV
--   clock   ms, '' = Redis TIME
--   lease   member of the ZSET
--   grace   ms
-- RETURNS
--   {'OK'}
--@include clock

local leases = KEYS[1]
local clock, lease, grace = ARGV[1], ARGV[2], ARGV[3]

redis.call('ZADD', leases, 'XX', 'LT', clock_ms(clock) + grace, lease)
return {'OK'}
