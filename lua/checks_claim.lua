-- Claims checks that are due, oldest first: each gets a new fence, and is due again when its lease ends, so that what a
-- dead node has claimed is claimed by another. Claims what a lease was lost on under the slot that it had.
--
-- KEYS
--   room       HASH of `all-endpoints`
--   due        ZSET
--   claims     HASH
--   fences     HASH
--   targets    HASH
--   endpoints  HASH
--   states     HASH
-- ARGV
--   clock      ms, '' = Redis TIME
--   node       who claims
--   word       random, part of each new fence: numbers alone go back with an older copy of Redis
--   limit      checks that it can take
--   per_host   checks that one host may have at a time
--   …          hosts that it is checking already, each as often as it does
-- RETURNS
--   {'OK', now, revision, ms until more is due or -1, checks that are due and wait, {id, fence, slot, definition, state}, …}
--   {'ROOM_NOT_FOUND'}
--@include clock

local room, due, claims, fences = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local targets, endpoints, states = KEYS[5], KEYS[6], KEYS[7]
local clock, node, word, limit, per_host = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local FIRST_HOST, LOOKED_AT = 6, 2000 -- all of them: what waits for a busy host must not hold up the others
local BACK_MS = 5000

-- Moves what is due along with a clock that went back (a failover), or nothing would be due until it has caught up.
local function follow_clock(now_ms)
  local last = tonumber(redis.call('HGET', room, 'claimedAt') or now_ms)
  if now_ms < last - BACK_MS then
    local entries = redis.call('ZRANGE', due, 0, -1, 'WITHSCORES')
    for i = 1, #entries, 2 do
      redis.call('ZADD', due, string.format('%d', entries[i + 1] - (last - now_ms)), entries[i])
    end
  end
  if math.abs(now_ms - last) >= 1000 or last == now_ms then
    redis.call('HSET', room, 'claimedAt', string.format('%d', now_ms))
  end
end

if redis.call('EXISTS', room) == 0 then
  return {'ROOM_NOT_FOUND'}
end
local now_ms = clock_ms(clock)
follow_clock(now_ms)
local busy = {}
for i = FIRST_HOST, #ARGV do
  busy[ARGV[i]] = (busy[ARGV[i]] or 0) + 1
end

local claimed, of_hosts = {}, 0
local function claim(id, slot, lease_ms)
  local definition, state = redis.call('HGET', endpoints, id), redis.call('HGET', states, id)
  local former, fence = redis.call('HGET', claims, id), redis.call('HGET', fences, id) or '0'
  slot = former and string.match(former, '^(%d+) ') or slot
  fence = string.format('%d-%s', string.match(fence, '^%d+') + 1, word)
  redis.call('HSET', fences, id, fence)
  redis.call('HSET', claims, id, slot .. ' ' .. node)
  redis.call('ZADD', due, now_ms + lease_ms, id)
  claimed[#claimed + 1] = {id, fence, tonumber(slot), definition, state}
end

-- What needs no host (a push that did not come, c2c itself) is quick, and waits for nothing.
local entries = redis.call('ZRANGEBYSCORE', due, '-inf', now_ms, 'WITHSCORES', 'LIMIT', 0, LOOKED_AT)
for i = 1, #entries, 2 do
  local id, slot = entries[i], string.format('%d', entries[i + 1])
  local lease_ms, host = string.match(redis.call('HGET', targets, id) or '', '^(%d+) (.*)$')
  if not lease_ms then
    redis.call('ZREM', due, id)
  elseif host == '' then
    claim(id, slot, lease_ms)
  elseif of_hosts < limit and (busy[host] or 0) < per_host then
    busy[host] = (busy[host] or 0) + 1
    of_hosts = of_hosts + 1
    claim(id, slot, lease_ms)
  end
end
local first = redis.call('ZRANGEBYSCORE', due, '(' .. now_ms, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local wait_ms = first[2] and math.max(0, first[2] - now_ms) or -1
local waiting = redis.call('ZCOUNT', due, '-inf', now_ms)
return {'OK', now_ms, tonumber(redis.call('HGET', room, 'revision') or '0'), wait_ms, waiting, unpack(claimed)}
