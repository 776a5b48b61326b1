-- Writes a webhook that its receiver wants no more of in the place of what it was, and forgets all that is on its way.
--
-- KEYS
--   room             HASH of `all-endpoints`
--   webhooks         HASH
--   deliveries       ZSET
--   delivery_bodies  HASH
-- ARGV
--   webhook_id       which
--   former           JSON that it must have now
--   webhook          JSON
-- RETURNS
--   {'OK'} | {'ROOM_NOT_FOUND'} | {'CONFLICT'}: it is another one by now, or none
--@include delivery

local room, webhooks, deliveries, delivery_bodies = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local webhook_id, former, webhook = ARGV[1], ARGV[2], ARGV[3]

if redis.call('EXISTS', room) == 0 then
  return {'ROOM_NOT_FOUND'}
elseif redis.call('HGET', webhooks, webhook_id) ~= former then
  return {'CONFLICT'}
end
redis.call('HSET', webhooks, webhook_id, webhook)
delivery_forget(deliveries, delivery_bodies, webhook_id)
redis.call('HINCRBY', room, 'revision', 1)
return {'OK'}
