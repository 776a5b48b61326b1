-- Reads the statuses of any number of users.
--
-- KEYS
--   online  ZSET
--   away    ZSET
--   busy    ZSET
-- ARGV
--   …       user ids
-- RETURNS
--   {'OK', {status, …}} in the order of the ids; who is not visible is offline

local online, away, busy = KEYS[1], KEYS[2], KEYS[3]
local FIRST_USER, CHUNK = 1, 1000

local found = {}
for from = FIRST_USER, #ARGV, CHUNK do
  local to = math.min(from + CHUNK - 1, #ARGV)
  for status, users in pairs({online = online, away = away, busy = busy}) do
    for i, score in ipairs(redis.call('ZMSCORE', users, unpack(ARGV, from, to))) do
      if score then
        found[from + i - 1] = status
      end
    end
  end
end
for i = FIRST_USER, #ARGV do
  found[i] = found[i] or 'offline'
end
return {'OK', found}
