-- Commits what is new about one endpoint, a result or an edit, in the room of all and in its own, if nobody was faster:
-- fence check → definition, state, schedule → result, incident → events → deliveries.
--
-- KEYS
--   room             HASH of `all-endpoints`
--   log              STREAM
--   due              ZSET
--   claims           HASH
--   fences           HASH
--   targets          HASH
--   endpoints        HASH
--   states           HASH
--   summaries        HASH
--   push_tokens      HASH
--   incidents        HASH
--   incident_times   ZSET
--   open             SET
--   acknowledged     HASH
--   deliveries       ZSET
--   delivery_bodies  HASH
--   own              HASH of `endpoint:<id>`
--   own_log          STREAM
--   own_incidents    ZSET
--   results          STREAM
--   hours            HASH
--   days             HASH
-- ARGV
--   clock            ms, '' = Redis TIME
--   channel          of `all-endpoints`
--   own_channel      of `endpoint:<id>`
--   id               endpoint id
--   fence            the fence that must be in force, '' = the endpoint must be new
--   limit            endpoints that there may be
--   epoch            random: of the endpoint's room should it be new, and part of the next fence
--   retention        log entries of the endpoint's room, about
--   due_ms           when the next check is due, '' = none is
--   target           `<lease ms> <host>`
--   definition       JSON, '' = as it was
--   state            JSON
--   summary          JSON
--   push_token       digest of the token by which it is pushed to, '' = none or as it was
--   incident         incident id, '' = nothing has changed about incidents
--   incident_ms      when it began, ms
--   incident_open    1 or 0
--   incident_text    JSON
--   result_ms        the slot of a result, ms, '' = there is no result
--   span_ms          the longest time that it can stand for, ms
--   status           of the result
--   response_ms      '' = none
--   code             '' = none
--   error            '' = none
--   reason           '' = none
--   events           number of events
--   …                for each event its head, its head in the endpoint's room and its tail; then for each delivery its
--                    id and its body
-- RETURNS
--   {'OK', epoch, seq, {id of a forgotten incident, …}} | {'STALE'} | {'ROOM_NOT_FOUND'} | {'ENDPOINT_NOT_FOUND'} | {'FULL'}
-- EVENTS
--   the events given, in both rooms
--@include clock
--@include event_append
--@include history
--@include delivery
--@include named_keys
--@include monitor

local k = monitor_keys()
local results, hours, days = KEYS[20], KEYS[21], KEYS[22]
local clock, channel, own_channel, id, fence, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local epoch, retention, due_ms, target, definition, state = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local summary, push_token = ARGV[13], ARGV[14]
local incident, incident_ms, incident_open, incident_text = ARGV[15], ARGV[16], ARGV[17], ARGV[18]
local result_ms, span_ms, status, response_ms, code = ARGV[19], ARGV[20], ARGV[21], ARGV[22], ARGV[23]
local error, reason, events = ARGV[24], ARGV[25], tonumber(ARGV[26])
local FIRST_EVENT = 27

if redis.call('EXISTS', k.room) == 0 then
  return {'ROOM_NOT_FOUND'}
end
local known = redis.call('HEXISTS', k.endpoints, id) == 1
if fence == '' then
  if known then
    return {'STALE'}
  elseif redis.call('HLEN', k.endpoints) >= limit then
    return {'FULL'}
  end
elseif not known then
  return {'ENDPOINT_NOT_FOUND'}
elseif redis.call('HGET', k.fences, id) ~= fence then
  return {'STALE'}
end

local now_ms = clock_ms(clock)
if redis.call('EXISTS', k.own) == 0 then
  -- First what a full Redis refuses; then a leftover that would contradict the new epoch.
  redis.call('HSET', k.own, 'kind', 'monitor', 'creator', 'c2c', 'createdAt', string.format('%d', now_ms),
    'epoch', epoch, 'seq', 0, 'retention', retention, 'ttl', 0)
  redis.call('UNLINK', k.own_log)
end
local former = redis.call('HGET', k.fences, id) or '0'
redis.call('HSET', k.fences, id, string.format('%d-%s', string.match(former, '^%d+') + 1, epoch))
redis.call('HDEL', k.claims, id)
if due_ms == '' then
  redis.call('ZREM', k.due, id)
else
  redis.call('ZADD', k.due, due_ms, id)
end
redis.call('HSET', k.targets, id, target)
if definition ~= '' then
  redis.call('HSET', k.endpoints, id, definition)
end
redis.call('HSET', k.states, id, state)
redis.call('HSET', k.summaries, id, summary)
if push_token ~= '' then
  redis.call('HSET', k.push_tokens, push_token, id)
end
if result_ms ~= '' then
  history_add(results, hours, days, tonumber(result_ms), tonumber(span_ms), status, response_ms, code, error, reason)
end
local forgotten = {}
if incident ~= '' then
  forgotten = monitor_incident(k, incident, incident_ms, incident_open == '1', incident_text)
end
local told_epoch, seq = monitor_tell(k, channel, own_channel, now_ms, ARGV, FIRST_EVENT, events)
for i = FIRST_EVENT + 3 * events, #ARGV, 2 do
  delivery_add(k.deliveries, k.delivery_bodies, ARGV[i], now_ms, ARGV[i + 1])
end
return {'OK', told_epoch, seq, forgotten}
