-- Deletes a webhook and all that is on its way to it.
--
-- KEYS
--   room             HASH of `all-endpoints`
--   webhooks         HASH
--   outcomes         HASH
--   deliveries       ZSET
--   delivery_bodies  HASH
-- ARGV
--   webhook_id       which
-- RETURNS
--   {'OK'} | {'ROOM_NOT_FOUND'} | {'WEBHOOK_NOT_FOUND'}
--@include delivery

local room, webhooks, outcomes, deliveries, delivery_bodies = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local webhook_id = ARGV[1]

if redis.call('EXISTS', room) == 0 then
  return {'ROOM_NOT_FOUND'}
elseif redis.call('HDEL', webhooks, webhook_id) == 0 then
  return {'WEBHOOK_NOT_FOUND'}
end
redis.call('HDEL', outcomes, webhook_id)
delivery_forget(deliveries, delivery_bodies, webhook_id)
redis.call('HINCRBY', room, 'revision', 1)
return {'OK'}
