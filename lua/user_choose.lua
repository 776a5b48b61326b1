-- Remembers the status that a user chose.
--
-- KEYS
--   presence      STRING
--   session       HASH
-- ARGV
--   status        online, away, busy or offline
--   presence_ttl  ms
--   session_ttl   ms
-- RETURNS
--   {'OK'}

local presence, session = KEYS[1], KEYS[2]
local status, presence_ttl, session_ttl = ARGV[1], ARGV[2], ARGV[3]

redis.call('HSET', session, 'status', status)
redis.call('PEXPIRE', session, session_ttl)
redis.call('SET', presence, status, 'PX', presence_ttl, 'XX') -- who is not here is not here for choosing
return {'OK'}
