-- Monitoring: what belongs to one endpoint in the room of all. Needs clock, event_append and named_keys.

local INCIDENTS_KEPT, OWN_INCIDENTS_KEPT = 2000, 200

local function monitor_keys()
  local names = {'room', 'log', 'due', 'claims', 'fences', 'targets', 'endpoints', 'states', 'summaries', 'push_tokens',
    'incidents', 'incident_times', 'open', 'acknowledged', 'deliveries', 'delivery_bodies', 'own', 'own_log',
    'own_incidents'}
  return named_keys(names)
end

-- Appends events to the room of all and to the endpoint's own, in the same order. `given` is a list of head, head in
-- the endpoint's room, tail. Returns epoch and seq of the room of all.
local function monitor_tell(k, channel, own_channel, now_ms, given, first, count)
  local place = redis.call('HMGET', k.room, 'epoch', 'seq')
  local epoch, seq = place[1], tonumber(place[2])
  for i = first, first + 3 * count - 1, 3 do
    epoch, seq = event_append(k.room, k.log, channel, now_ms, given[i], given[i + 2])
    if redis.call('EXISTS', k.own) == 1 then
      event_append(k.own, k.own_log, own_channel, now_ms, given[i + 1], given[i + 2])
    end
  end
  return epoch, seq
end

-- Writes an incident; closed ones are forgotten when there are too many. Returns the ids of those.
local function monitor_incident(k, id, started_ms, is_open, text)
  redis.call('HSET', k.incidents, id, text)
  if is_open and redis.call('SISMEMBER', k.open, id) == 0 then
    redis.call('HDEL', k.acknowledged, id) -- it is open again: who had taken it on was done with it
  end
  redis.call('ZADD', k.incident_times, started_ms, id)
  redis.call('ZADD', k.own_incidents, started_ms, id)
  redis.call('ZREMRANGEBYRANK', k.own_incidents, 0, -OWN_INCIDENTS_KEPT - 1)
  if is_open then
    redis.call('SADD', k.open, id)
    return {}
  end
  redis.call('SREM', k.open, id)
  local forgotten = {}
  local surplus = redis.call('ZCARD', k.incident_times) - INCIDENTS_KEPT
  if surplus > 0 then
    for _, old in ipairs(redis.call('ZRANGE', k.incident_times, 0, surplus + 99)) do
      if surplus > 0 and redis.call('SISMEMBER', k.open, old) == 0 then
        redis.call('HDEL', k.incidents, old)
        redis.call('HDEL', k.acknowledged, old)
        redis.call('ZREM', k.incident_times, old)
        forgotten[#forgotten + 1] = old
        surplus = surplus - 1
      end
    end
  end
  return forgotten
end
