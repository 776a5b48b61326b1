-- Writes down what an attempt at a delivery came to: it is over, or tried again later. Only the last attempt counts.
--
-- KEYS
--   deliveries       ZSET
--   delivery_bodies  HASH
--   webhooks         HASH
--   outcomes         HASH
-- ARGV
--   clock            ms, '' = Redis TIME
--   delivery_id      which
--   attempt          which attempt
--   retry_ms         ms until the next one, '' = there is none
--   outcome          what stands behind the time in the outcome's JSON
-- RETURNS
--   {'OK'} | {'STALE'}: another attempt was begun, or the delivery is gone
--@include clock
--@include event_append
--@include delivery

local deliveries, delivery_bodies, webhooks, outcomes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local clock, delivery_id, attempt, retry_ms, outcome = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

if string.match(redis.call('HGET', delivery_bodies, delivery_id) or '', '^%d+') ~= attempt then
  return {'STALE'}
end
local now_ms, webhook_id = clock_ms(clock), delivery_webhook(delivery_id)
if redis.call('HEXISTS', webhooks, webhook_id) == 1 then
  redis.call('HSET', outcomes, webhook_id, '{"lastAttemptAt":"' .. iso8601(now_ms) .. '"' .. outcome)
end
if retry_ms == '' then
  delivery_remove(deliveries, delivery_bodies, {delivery_id})
else
  redis.call('ZADD', deliveries, now_ms + retry_ms, delivery_id)
end
return {'OK'}
