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
--   limit      checks that it can take
--   per_host   checks that one host may have at a time
--   …          hosts that it is checking already, each as often as it does
-- RETURNS
--   {'OK', now, revision, ms until something is due or -1, {id, fence, slot, definition, state}, …}
--   {'ROOM_NOT_FOUND'}
--@include clock

local room, due, claims, fences = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local targets, endpoints, states = KEYS[5], KEYS[6], KEYS[7]
local clock, node, limit, per_host = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local FIRST_HOST, LOOKED_AT = 5, 2000 -- all of them: what waits for a busy host must not hold up the others

if redis.call('EXISTS', room) == 0 then
  return {'ROOM_NOT_FOUND'}
end
local now_ms = clock_ms(clock)
local busy = {}
for i = FIRST_HOST, #ARGV do
  busy[ARGV[i]] = (busy[ARGV[i]] or 0) + 1
end

local claimed = {}
local entries = limit > 0 and redis.call('ZRANGEBYSCORE', due, '-inf', now_ms, 'WITHSCORES', 'LIMIT', 0, LOOKED_AT) or {}
for i = 1, #entries, 2 do
  local id, slot = entries[i], string.format('%d', entries[i + 1])
  local definition = redis.call('HGET', endpoints, id)
  if #claimed >= limit then
    break
  elseif not definition then
    redis.call('ZREM', due, id)
  else
    local lease_ms, host = string.match(redis.call('HGET', targets, id), '^(%d+) (.*)$')
    if host == '' or (busy[host] or 0) < per_host then
      busy[host] = (busy[host] or 0) + 1
      local former = redis.call('HGET', claims, id)
      slot = former and string.match(former, '^(%d+) ') or slot
      local fence = redis.call('HINCRBY', fences, id, 1)
      redis.call('HSET', claims, id, slot .. ' ' .. node)
      redis.call('ZADD', due, now_ms + lease_ms, id)
      claimed[#claimed + 1] = {id, fence, tonumber(slot), definition, redis.call('HGET', states, id)}
    end
  end
end
local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
local wait_ms = first[2] and math.max(0, first[2] - now_ms) or -1
return {'OK', now_ms, tonumber(redis.call('HGET', room, 'revision') or '0'), wait_ms, unpack(claimed)}
