-- The incidents that are open.
--
-- KEYS
--   open           SET
--   incidents      HASH
--   acknowledged   HASH
-- ARGV
--   clock          ms, '' = Redis TIME
-- RETURNS
--   {'OK', now, {incident, acknowledgement or false, …}}
--@include clock

local open, incidents, acknowledged = KEYS[1], KEYS[2], KEYS[3]
local clock = ARGV[1]

local found = {}
for _, id in ipairs(redis.call('SMEMBERS', open)) do
  found[#found + 1] = redis.call('HGET', incidents, id)
  found[#found + 1] = redis.call('HGET', acknowledged, id)
end
return {'OK', clock_ms(clock), found}
