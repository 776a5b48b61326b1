-- Takes leases away; a user leaves the room with their last one, and the room is told.
--
-- `left_head` and `left_tail` are the leave event's JSON round the timestamp and round the user id. A user id needs
-- no escaping in JSON: letters, digits and . _ - @ only.
local function lease_remove(room, members, leases, connections, log, channel, now_ms, lease, left_head, left_tail)
  local user = string.match(lease, '^(.*)/[^/]*$')
  if tonumber(redis.call('HGET', connections, user) or '0') <= 1 then
    if redis.call('SISMEMBER', members, user) == 1 and redis.call('EXISTS', room) == 1 then
      event_append(room, log, channel, now_ms, left_head, ',"userId":"' .. user .. left_tail)
    end
    redis.call('SREM', members, user)
    redis.call('HDEL', connections, user)
  else
    redis.call('HINCRBY', connections, user, -1)
  end
  redis.call('ZREM', leases, lease)
end

-- Removes leases whose deadline has passed, at most 200 in one call so that a crashed node's thousand members do not
-- hold Redis up; whoever comes next goes on. This is how a crashed node's members leave: once, told by whoever is first.
--
-- `mercy`, ms, is above 0 for a while after nobody could renew (Redis was away or full, or the caller itself was
-- stopped): then an ended lease says nothing about its connection, and gets that much time to be renewed.
local function lease_sweep(room, members, leases, connections, log, channel, now_ms, mercy, left_head, left_tail)
  local expired = redis.call('ZRANGEBYSCORE', leases, '-inf', now_ms, 'LIMIT', 0, 200)
  for _, lease in ipairs(expired) do
    if mercy > 0 then
      redis.call('ZADD', leases, 'XX', now_ms + mercy, lease)
    else
      lease_remove(room, members, leases, connections, log, channel, now_ms, lease, left_head, left_tail)
    end
  end
end
