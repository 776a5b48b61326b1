-- Who is signed in, what others see of them, and when others are told. Needs clock, event_append and named_keys.
--
-- A user is signed in while a lease of theirs lives, and visible unless they chose `offline`. Who chose nothing is online,
-- or away while all their connections are idle. Visible users stand in `members` and in the ZSET of their status, so that
-- lists are pages and counts are sizes. Whatever changes puts the
-- user into `changed`; `presence_tell` makes events of that, at once in a small room, at a pace in a big one.

local PRESENCE_STATUSES = {'online', 'away', 'busy'}
local PRESENCE_SWEEP, PRESENCE_SEEN_MAX = 1000, 100000
local PRESENCE_GAP_MS, PRESENCE_FIGURES_MS, PRESENCE_KEPT_MS = 60000, 1000, 30 * 86400000

local function presence_keys()
  local names = {'room', 'signed_in', 'connections', 'members', 'log', 'profiles', 'places', 'seen', 'online', 'away',
    'busy', 'changed', 'hours', 'days', 'chosen', 'idle', 'idlers'}
  return named_keys(names)
end

local function presence_count(k)
  return redis.call('ZCARD', k.online) + redis.call('ZCARD', k.away) + redis.call('ZCARD', k.busy)
end

local function presence_status(k, user)
  for _, status in ipairs(PRESENCE_STATUSES) do
    if redis.call('ZSCORE', k[status], user) then
      return status
    end
  end
  return 'offline'
end

-- Users whose status this call has changed, each followed by the new status.
local presence_now = {}

local function presence_changed(k, now_ms, user)
  redis.call('ZADD', k.changed, 'NX', now_ms, user)
end

local function presence_set(k, now_ms, user, status)
  local former = presence_status(k, user)
  if status == former then
    return
  end
  if former ~= 'offline' then
    redis.call('ZREM', k[former], user)
  end
  if status ~= 'offline' then
    redis.call('ZADD', k[status], 0, user)
    redis.call('SADD', k.members, user)
  else
    redis.call('SREM', k.members, user)
  end
  if redis.call('ZADD', k.seen, now_ms, user) == 1 then
    redis.call('ZREMRANGEBYSCORE', k.seen, '-inf', now_ms - PRESENCE_KEPT_MS)
    redis.call('ZREMRANGEBYRANK', k.seen, 0, -PRESENCE_SEEN_MAX - 1)
  end
  presence_changed(k, now_ms, user)
  presence_now[#presence_now + 1] = user
  presence_now[#presence_now + 1] = status
end

-- What a user is seen as, by what they chose and by whether anybody is at one of their devices.
local function presence_judge(k, now_ms, user)
  local status = redis.call('HGET', k.chosen, user) or 'online'
  local idlers = tonumber(redis.call('HGET', k.idlers, user) or '0')
  if status == 'online' and idlers > 0 and idlers >= tonumber(redis.call('HGET', k.connections, user) or '0') then
    status = 'away'
  end
  presence_set(k, now_ms, user, status)
end

local function presence_choose(k, user, status)
  if status == 'away' or status == 'busy' or status == 'offline' then
    redis.call('HSET', k.chosen, user, status)
  else
    redis.call('HDEL', k.chosen, user)
  end
end

-- Notes whether a connection is idle. Returns whether it was.
local function presence_idle(k, user, lease, idle)
  local was = redis.call('SISMEMBER', k.idle, lease) == 1
  if idle and not was then
    redis.call('SADD', k.idle, lease)
    redis.call('HINCRBY', k.idlers, user, 1)
  elseif was and not idle then
    redis.call('SREM', k.idle, lease)
    if redis.call('HINCRBY', k.idlers, user, -1) <= 0 then
      redis.call('HDEL', k.idlers, user)
    end
  end
  return was
end

-- Ends one connection; the user goes with the last one. Returns whether they did.
local function presence_end(k, now_ms, lease)
  if redis.call('ZREM', k.signed_in, lease) == 0 then
    return false
  end
  local user = string.match(lease, '^(.*)/[^/]*$')
  presence_idle(k, user, lease, false)
  local last = redis.call('HINCRBY', k.connections, user, -1) <= 0
  local visible = redis.call('SISMEMBER', k.members, user) == 1
  if last then
    redis.call('HDEL', k.connections, user)
    redis.call('HDEL', k.places, user)
    redis.call('HDEL', k.chosen, user)
    presence_set(k, now_ms, user, 'offline')
    if not redis.call('ZSCORE', k.changed, user) then
      redis.call('HDEL', k.profiles, user) -- otherwise when others have been told
    end
  else
    presence_judge(k, now_ms, user)
    if visible then
      presence_changed(k, now_ms, user)
    end
  end
  return last
end

-- Ends connections whose deadline has passed; `mercy` as in lease_sweep. Returns the users who went.
local function presence_sweep(k, now_ms, mercy)
  local gone = {}
  for _, lease in ipairs(redis.call('ZRANGEBYSCORE', k.signed_in, '-inf', now_ms, 'LIMIT', 0, PRESENCE_SWEEP)) do
    if mercy > 0 then
      redis.call('ZADD', k.signed_in, 'XX', now_ms + mercy, lease)
    elseif presence_end(k, now_ms, lease) then
      gone[#gone + 1] = string.match(lease, '^(.*)/[^/]*$')
    end
  end
  return gone
end

-- What others see of up to some thousand users, as JSON texts in the same order; and `true` in place of each status
-- that is offline. The profiles of those are for who is `told` that they went: what else is kept of somebody who is
-- hidden must not show that they are not gone.
local function presence_texts(k, now_ms, users, told)
  local texts, offline = {}, {}
  if #users == 0 then
    return texts, offline
  end
  local profiles = redis.call('HMGET', k.profiles, unpack(users))
  local places = redis.call('HMGET', k.places, unpack(users))
  local connections = redis.call('HMGET', k.connections, unpack(users))
  local seen = redis.call('ZMSCORE', k.seen, unpack(users))
  local statuses = {}
  for _, status in ipairs(PRESENCE_STATUSES) do
    for i, score in ipairs(redis.call('ZMSCORE', k[status], unpack(users))) do
      if score then
        statuses[i] = status
      end
    end
  end
  for i, user in ipairs(users) do
    local status = statuses[i] or 'offline'
    offline[i] = status == 'offline'
    local seen_ms = (status == 'online' or status == 'busy') and now_ms or tonumber(seen[i] or nil)
    local place = not offline[i] and places[i]
    -- User and room ids need no escaping in JSON: letters, digits and . _ - @ : only.
    texts[i] = '{"userId":"' .. user .. '",'
      .. (profiles[i] and (told or not offline[i]) and string.sub(profiles[i], 2, -2) or '"username":"' .. user .. '","avatar":""')
      .. ',"status":"' .. status .. '","lastSeen":' .. (seen_ms and '"' .. iso8601(seen_ms) .. '"' or 'null')
      .. ',"roomId":' .. (place and '"' .. place .. '"' or 'null')
      .. ',"connections":' .. (offline[i] and '0' or connections[i] or '0') .. '}'
  end
  return texts, offline
end

-- Adds the time since the last measurement to an hour or a day, as '<peak> <ms measured> <users × ms>'.
local function presence_measure(k, bucket, name, span_ms, former, now_count, oldest)
  local peak, measured_ms, sum = 0, 0, 0
  local kept = redis.call('HGET', bucket, name)
  if kept then
    peak, measured_ms, sum = string.match(kept, '^(%d+) (%d+) (%d+)$')
  else
    for _, old in ipairs(redis.call('HKEYS', bucket)) do
      if old < oldest then
        redis.call('HDEL', bucket, old)
      end
    end
  end
  redis.call('HSET', bucket, name, string.format('%d %d %.0f', math.max(peak, former, now_count), measured_ms + span_ms,
    sum + former * span_ms))
end

-- Keeps the figures over time. What nobody measured (no node was there) counts for nothing.
local function presence_figures(k, now_ms)
  local count = presence_count(k)
  local last = redis.call('HMGET', k.room, 'measuredAt', 'measured')
  local at, former = tonumber(last[1] or now_ms), tonumber(last[2] or count)
  local back_in_time = now_ms < at -- after a failover
  if last[1] and count <= former and now_ms - at < PRESENCE_FIGURES_MS and not back_in_time then
    return count
  end
  if now_ms - at > PRESENCE_GAP_MS or back_in_time then
    at, former = now_ms, count
  end
  local oldest = iso8601(math.max(0, now_ms - PRESENCE_KEPT_MS))
  local boundary = now_ms - now_ms % 3600000
  local spans = at < boundary and {{at, boundary, former}, {boundary, now_ms, count}} or {{at, now_ms, count}}
  for _, span in ipairs(spans) do
    local name = iso8601(span[1])
    presence_measure(k, k.hours, string.sub(name, 1, 13), span[2] - span[1], former, span[3], string.sub(oldest, 1, 13))
    presence_measure(k, k.days, string.sub(name, 1, 10), span[2] - span[1], former, span[3], string.sub(oldest, 1, 10))
  end
  redis.call('HSET', k.room, 'measuredAt', string.format('%d', now_ms), 'measured', count)
  return count
end

-- Tells what has changed: one event a user up to `quiet` visible users, above that one for up to `batch` of them and the
-- next one `pace` ms later. `head` is an event's JSON before the timestamp. Returns the ms until more can be told, -1 =
-- there is no more.
local function presence_tell(k, channel, now_ms, head, quiet, pace, batch)
  local count = presence_figures(k, now_ms)
  if redis.call('ZCARD', k.changed) == 0 then
    return -1
  end
  local told = redis.call('HMGET', k.room, 'toldAt', 'crowded')
  -- A crowd is one until all of its leaving has been told: else those who are left would hear of each one's.
  local big = count > quiet or told[2] == '1'
  local due = tonumber(told[1] or '0') + pace
  if big and due > now_ms and due <= now_ms + pace then
    return due - now_ms
  end
  local users = redis.call('ZRANGE', k.changed, 0, batch - 1)
  redis.call('ZREM', k.changed, unpack(users))
  local texts, offline = presence_texts(k, now_ms, users, true)
  if big and #users > 1 then
    event_append(k.room, k.log, channel, now_ms, head, ',"users":[' .. table.concat(texts, ',') .. ']}')
  else
    for _, text in ipairs(texts) do
      -- One user's first fields stand beside the list too, but for the avatar. No quote in a value is bare.
      local alone = string.gsub(string.sub(text, 2), ',"roomId":.*$', '')
      alone = string.gsub(alone, ',"avatar":".-","status":"', ',"status":"')
      event_append(k.room, k.log, channel, now_ms, head, ',' .. alone .. ',"users":[' .. text .. ']}')
    end
  end
  for i, user in ipairs(users) do
    if offline[i] and redis.call('HEXISTS', k.connections, user) == 0 then
      redis.call('HDEL', k.profiles, user)
    end
  end
  local left = redis.call('ZCARD', k.changed)
  local crowded = big and (count > quiet or left > 0)
  redis.call('HSET', k.room, 'toldAt', string.format('%d', now_ms), 'crowded', crowded and '1' or '0')
  if left == 0 then
    return -1
  end
  return big and pace or 0
end
