-- Reads all webhooks with what their last attempts came to and how much is on its way to them.
--
-- KEYS
--   webhooks         HASH
--   outcomes         HASH
--   deliveries       ZSET
--   delivery_bodies  HASH
-- RETURNS
--   {'OK', deliveries that were dropped, {webhook, outcome or false, deliveries on their way, …}}
--@include delivery

local webhooks, outcomes, deliveries, delivery_bodies = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local pending = {}
for _, id in ipairs(redis.call('ZRANGE', deliveries, 0, -1)) do
  local webhook = delivery_webhook(id)
  pending[webhook] = (pending[webhook] or 0) + 1
end
local told, all = {}, redis.call('HGETALL', webhooks)
for i = 1, #all, 2 do
  told[#told + 1] = all[i + 1]
  told[#told + 1] = redis.call('HGET', outcomes, all[i])
  told[#told + 1] = pending[all[i]] or 0
end
return {'OK', tonumber(redis.call('HGET', delivery_bodies, 'dropped') or '0'), told}
