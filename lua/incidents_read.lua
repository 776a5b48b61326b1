-- A page of incidents, newest first: of all of them, or of one endpoint's.
--
-- KEYS
--   incident_times   ZSET, of all or of one endpoint
--   incidents        HASH
--   acknowledged     HASH
-- ARGV
--   clock            ms, '' = Redis TIME
--   before           only what began earlier, ms, '' = all
--   limit            incidents
-- RETURNS
--   {'OK', now, {incident, acknowledgement or false, …}}
--@include clock

local incident_times, incidents, acknowledged = KEYS[1], KEYS[2], KEYS[3]
local clock, before, limit = ARGV[1], ARGV[2], ARGV[3]

local found = {}
local newest = before == '' and '+inf' or '(' .. before
for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', incident_times, newest, '-inf', 'LIMIT', 0, limit)) do
  local text = redis.call('HGET', incidents, id)
  if text then -- one that was forgotten may still stand in its endpoint's list
    found[#found + 1] = text
    found[#found + 1] = redis.call('HGET', acknowledged, id)
  end
end
return {'OK', clock_ms(clock), found}
