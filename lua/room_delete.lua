-- Deletes a room that nobody is in: whoever is would open it again.
--
-- KEYS
--   room          HASH
--   members       SET
--   leases        ZSET
--   connections   HASH
--   log           STREAM
--   messages      STREAM
-- RETURNS
--   {'OK'} | {'NOT_EMPTY'}

local room, members, leases, connections, log, messages = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]

if redis.call('SCARD', members) > 0 then
  return {'NOT_EMPTY'}
end
redis.call('UNLINK', room, members, leases, connections, log, messages)
return {'OK'}
