-- Says that users are here: on sign-in, on entering a room and at each renewal.
-- Writes everything anew, so that a user whose keys were lost is there again after one renewal.
--
-- KEYS
--   …             two keys a user: presence STRING, session HASH
-- ARGV
--   clock         ms, '' = Redis TIME
--   presence_ttl  ms
--   session_ttl   ms
--   node          node id
--   …             four values a user: username, avatar (URL, '' = none), the room just entered ('' = unchanged), the
--                   status that the node knows of, should Redis have forgotten it ('' = none)
-- RETURNS
--   {'OK', {status, …}} that each has chosen, else online
--@include clock

local clock, presence_ttl, session_ttl, node = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local FIRST_USER, SIZE = 5, 4

local now = string.format('%d', clock_ms(clock))
local statuses = {}
for i = 1, #KEYS / 2 do
  local presence, session = KEYS[2 * i - 1], KEYS[2 * i]
  local at = FIRST_USER + (i - 1) * SIZE
  local username, avatar, room, known = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  redis.call('HSET', session, 'username', username, 'avatar', avatar, 'node', node, 'lastSeen', now)
  if room ~= '' then
    redis.call('HSET', session, 'roomId', room, 'joinedAt', now)
  end
  if known ~= '' and known ~= 'online' then
    redis.call('HSETNX', session, 'status', known)
  end
  redis.call('PEXPIRE', session, session_ttl)
  statuses[i] = redis.call('HGET', session, 'status') or 'online'
  redis.call('SET', presence, statuses[i], 'PX', presence_ttl)
end
return {'OK', statuses}
