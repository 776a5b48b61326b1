-- Adds a webhook, and makes nodes read the webhooks again.
--
-- KEYS
--   room          HASH of `all-endpoints`
--   webhooks      HASH
-- ARGV
--   webhook_id    which
--   webhook       JSON
--   webhooks_max  webhooks that there may be
-- RETURNS
--   {'OK'} | {'ROOM_NOT_FOUND'} | {'FULL'}

local room, webhooks = KEYS[1], KEYS[2]
local webhook_id, webhook, webhooks_max = ARGV[1], ARGV[2], tonumber(ARGV[3])

if redis.call('EXISTS', room) == 0 then
  return {'ROOM_NOT_FOUND'}
elseif redis.call('HLEN', webhooks) >= webhooks_max then
  return {'FULL'}
end
redis.call('HSET', webhooks, webhook_id, webhook)
redis.call('HINCRBY', room, 'revision', 1)
return {'OK'}
