-- Deliveries to webhooks: `deliveries` is a ZSET of ids by when they are due, `bodies` a HASH of `<attempts> <JSON>`.
--
-- An id is `<ms when it was made>-<digest>-<webhook id>`: ids sort by age, and say whose they are.

local DELIVERIES_MAX, DELIVERIES_DROPPED = 10000, 100

local function delivery_webhook(id)
  return string.match(id, '^%d+%-%x+%-(.*)$')
end

local function delivery_remove(deliveries, bodies, ids)
  for first = 1, #ids, 1000 do
    local some = {unpack(ids, first, math.min(first + 999, #ids))}
    redis.call('ZREM', deliveries, unpack(some))
    redis.call('HDEL', bodies, unpack(some))
  end
end

-- Adds a delivery, once. When there are 10,000 the 100 oldest make room; field `dropped` of `bodies` counts them.
local function delivery_add(deliveries, bodies, id, due_ms, body)
  if redis.call('HSETNX', bodies, id, '0 ' .. body) == 0 then
    return
  end
  if redis.call('ZCARD', deliveries) >= DELIVERIES_MAX then
    local ids = redis.call('ZRANGE', deliveries, 0, -1)
    table.sort(ids)
    local oldest = {unpack(ids, 1, DELIVERIES_DROPPED)}
    delivery_remove(deliveries, bodies, oldest)
    redis.call('HINCRBY', bodies, 'dropped', #oldest)
  end
  redis.call('ZADD', deliveries, due_ms, id)
end

-- Forgets all that is on its way to a webhook.
local function delivery_forget(deliveries, bodies, webhook)
  local gone = {}
  for _, id in ipairs(redis.call('ZRANGE', deliveries, 0, -1)) do
    if delivery_webhook(id) == webhook then
      gone[#gone + 1] = id
    end
  end
  delivery_remove(deliveries, bodies, gone)
end
