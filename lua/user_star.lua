-- Stars somebody, if there is room.
--
-- KEYS
--   starred  SET
-- ARGV
--   user     user id
--   limit    users that may be starred at most
-- RETURNS
--   {'OK'} | {'FULL'}

local starred = KEYS[1]
local user, limit = ARGV[1], tonumber(ARGV[2])

if redis.call('SISMEMBER', starred, user) == 0 and redis.call('SCARD', starred) >= limit then
  return {'FULL'}
end
redis.call('SADD', starred, user)
return {'OK'}
