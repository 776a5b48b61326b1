-- Says that a user is here by these connections of one node: on sign-in, on entering a room and at each renewal.
-- Writes everything anew, so that a user whose keys were lost is there again after one renewal.
--
-- KEYS
--   presence      STRING
--   session       HASH
--   leases        ZSET
-- ARGV
--   clock         ms, '' = Redis TIME
--   lease_ms      ms
--   presence_ttl  ms
--   session_ttl   ms
--   username      name for people
--   avatar        URL, '' = none
--   node          node id
--   room          the room just entered, '' = unchanged
--   …             connection ids
-- RETURNS
--   {'OK', status}
--@include clock

local presence, session, leases = KEYS[1], KEYS[2], KEYS[3]
local clock, lease_ms, presence_ttl, session_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local username, avatar, node, room = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local FIRST_CONNECTION = 9

local now_ms = clock_ms(clock)
local now = string.format('%d', now_ms)
redis.call('ZREMRANGEBYSCORE', leases, '-inf', now_ms)
for i = FIRST_CONNECTION, #ARGV do
  redis.call('ZADD', leases, now_ms + lease_ms, ARGV[i])
end
redis.call('PEXPIRE', leases, session_ttl)

redis.call('HSET', session, 'username', username, 'avatar', avatar, 'node', node, 'lastSeen', now)
if room ~= '' then
  redis.call('HSET', session, 'roomId', room, 'joinedAt', now)
end
redis.call('PEXPIRE', session, session_ttl)

-- The status somebody chose stays; only who has none is online.
if redis.call('SET', presence, 'online', 'NX', 'PX', presence_ttl) then
  return {'OK', 'online'}
end
redis.call('PEXPIRE', presence, presence_ttl)
return {'OK', redis.call('GET', presence)}
