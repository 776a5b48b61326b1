-- Reads the maintenance windows and the webhooks, and the revision that they are of.
--
-- KEYS
--   room      HASH of `all-endpoints`
--   windows   HASH
--   webhooks  HASH
-- ARGV
--   clock     ms, '' = Redis TIME
-- RETURNS
--   {'OK', now, revision, {window, …}, {webhook, …}}
--@include clock

local room, windows, webhooks = KEYS[1], KEYS[2], KEYS[3]
local clock = ARGV[1]

return {'OK', clock_ms(clock), tonumber(redis.call('HGET', room, 'revision') or '0'),
  redis.call('HVALS', windows), redis.call('HVALS', webhooks)}
