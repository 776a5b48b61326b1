-- Claims deliveries that are due, oldest first. A claimed one is due again when its lease ends, so that what a dead node
-- has claimed is claimed by another; each claim is an attempt of its own, and only the last one counts. Forgets what is
-- for a webhook that is gone or disabled.
--
-- KEYS
--   deliveries       ZSET
--   delivery_bodies  HASH
--   webhooks         HASH
-- ARGV
--   clock            ms, '' = Redis TIME
--   lease_ms         for how long
--   limit            deliveries that the caller can take
--   per_webhook      deliveries that one webhook may have at a time
--   …                webhooks that the caller is delivering to, each as often as it does
-- RETURNS
--   {'OK', now, ms until something that is not due yet is due or -1, {id, attempt, body, webhook}, …}
--@include clock
--@include delivery

local deliveries, delivery_bodies, webhooks = KEYS[1], KEYS[2], KEYS[3]
local clock, lease_ms, limit, per_webhook = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local FIRST_WEBHOOK, PAGE = 5, 1000

-- Webhooks are opaque but for this. No quote in a value is bare.
local function wanted(webhook)
  return webhook and not string.find(webhook, '"disabled":true', 1, true)
end

local busy = {}
for i = FIRST_WEBHOOK, #ARGV do
  busy[ARGV[i]] = (busy[ARGV[i]] or 0) + 1
end

-- All that is due is looked at page by page: a slow receiver's thousands must not hide another's one.
local now_ms = clock_ms(clock)
local claimed, gone, offset = {}, {}, 0
repeat
  local ids = redis.call('ZRANGEBYSCORE', deliveries, '-inf', now_ms, 'LIMIT', offset, PAGE)
  for _, id in ipairs(ids) do
    local webhook_id = delivery_webhook(id)
    if #claimed < limit and (busy[webhook_id] or 0) < per_webhook then
      local webhook = redis.call('HGET', webhooks, webhook_id)
      local attempts, body = string.match(redis.call('HGET', delivery_bodies, id) or '', '^(%d+) (.*)$')
      if wanted(webhook) and body then
        busy[webhook_id] = (busy[webhook_id] or 0) + 1
        claimed[#claimed + 1] = {id, attempts + 1, body, webhook}
      else
        gone[#gone + 1] = id
      end
    end
  end
  offset = offset + PAGE
until #ids < PAGE or #claimed >= limit

for _, each in ipairs(claimed) do
  redis.call('HSET', delivery_bodies, each[1], string.format('%d ', each[2]) .. each[3])
  redis.call('ZADD', deliveries, now_ms + lease_ms, each[1])
end
delivery_remove(deliveries, delivery_bodies, gone)
local later = redis.call('ZRANGEBYSCORE', deliveries, string.format('(%d', now_ms), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {'OK', now_ms, later[2] and later[2] - now_ms or -1, unpack(claimed)}
