-- Reads a page of the visible users, sorted by user id, and how many there are of each status.
--
-- KEYS
--   room         HASH
--   signed_in    ZSET
--   connections  HASH
--   members      SET
--   log          STREAM
--   profiles     HASH
--   places       HASH
--   seen         ZSET
--   online       ZSET
--   away         ZSET
--   busy         ZSET
--   changed      ZSET
--   hours        HASH
--   days         HASH
--   chosen       HASH
--   idle         SET
--   idlers       HASH
-- ARGV
--   clock        ms, '' = Redis TIME
--   channel      where events are published
--   mercy        ms that ended leases are given instead of being swept, 0 = none
--   head         a `user:status` event's JSON before the timestamp
--   quiet        visible users up to which each change is told at once
--   pace         ms between two events above that
--   batch        users in one event at most
--   status       '' = any
--   after        user id in front of the page, '' = from the first
--   limit        users
-- RETURNS
--   {'OK', epoch, seq, {online, away, busy}, 1 if there are more users else 0, {user's JSON, …}} | {'ROOM_NOT_FOUND'}
-- EVENTS
--   `user:status` for what has changed, at the pace of the room
--@include clock
--@include event_append
--@include named_keys
--@include presence

local k = presence_keys()
local clock, channel, mercy, head = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local quiet, pace, batch = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local status, after, limit = ARGV[8], ARGV[9], tonumber(ARGV[10])

if redis.call('EXISTS', k.room) == 0 then
  return {'ROOM_NOT_FOUND'}
end
local now_ms = clock_ms(clock)
presence_sweep(k, now_ms, mercy)
presence_tell(k, channel, now_ms, head, quiet, pace, batch)

-- By bytes, as ZRANGEBYLEX sorts; Lua's own comparison depends on the server's locale.
local function before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then
      return x < y
    end
  end
  return #a < #b
end

local function merge(a, b)
  local merged, i, j = {}, 1, 1
  while #merged <= limit and (a[i] or b[j]) do
    if not b[j] or (a[i] and before(a[i], b[j])) then
      merged[#merged + 1] = a[i]
      i = i + 1
    else
      merged[#merged + 1] = b[j]
      j = j + 1
    end
  end
  return merged
end

local users, counts = {}, {}
for i, each in ipairs(PRESENCE_STATUSES) do
  counts[i] = redis.call('ZCARD', k[each])
  if status == '' or status == each then
    local from = after == '' and '-' or '(' .. after
    users = merge(users, redis.call('ZRANGEBYLEX', k[each], from, '+', 'LIMIT', 0, limit + 1))
  end
end
local more = #users > limit and 1 or 0
users[limit + 1] = nil
local texts = presence_texts(k, now_ms, users)
local place = redis.call('HMGET', k.room, 'epoch', 'seq')
return {'OK', place[1], tonumber(place[2]), counts, more, texts}
