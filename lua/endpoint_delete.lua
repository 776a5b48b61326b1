-- Deletes an endpoint after telling both rooms, if nobody has changed it since. What remains is in the incidents' list.
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
--   …                the endpoint's other keys
-- ARGV
--   clock            ms, '' = Redis TIME
--   channel          of `all-endpoints`
--   own_channel      of `endpoint:<id>`
--   id               endpoint id
--   fence            the fence that must be in force
--   push_token       digest of its token, '' = none
--   incident         id of its open incident, '' = none
--   incident_ms      when it began, ms
--   incident_text    JSON, resolved
--   events           number of events
--   …                for each event its head, its head in the endpoint's room and its tail; then for each delivery its
--                    id and its body
-- RETURNS
--   {'OK', epoch, seq, {id of a forgotten incident, …}} | {'STALE'} | {'ROOM_NOT_FOUND'} | {'ENDPOINT_NOT_FOUND'}
-- EVENTS
--   the events given, in both rooms
--@include clock
--@include event_append
--@include delivery
--@include named_keys
--@include monitor

local k = monitor_keys()
local clock, channel, own_channel, id, fence, push_token = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local incident, incident_ms, incident_text, events = ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10])
local FIRST_EVENT = 11

if redis.call('EXISTS', k.room) == 0 then
  return {'ROOM_NOT_FOUND'}
elseif redis.call('HEXISTS', k.endpoints, id) == 0 then
  return {'ENDPOINT_NOT_FOUND'}
elseif redis.call('HGET', k.fences, id) ~= fence then
  return {'STALE'}
end

local now_ms = clock_ms(clock)
local forgotten = {}
if incident ~= '' then
  forgotten = monitor_incident(k, incident, incident_ms, false, incident_text)
end
local epoch, seq = monitor_tell(k, channel, own_channel, now_ms, ARGV, FIRST_EVENT, events)
for i = FIRST_EVENT + 3 * events, #ARGV, 2 do
  delivery_add(k.deliveries, k.delivery_bodies, ARGV[i], now_ms, ARGV[i + 1])
end
redis.call('ZREM', k.due, id)
for _, column in ipairs({k.claims, k.fences, k.targets, k.endpoints, k.states, k.summaries}) do
  redis.call('HDEL', column, id)
end
if push_token ~= '' then
  redis.call('HDEL', k.push_tokens, push_token)
end
redis.call('UNLINK', k.own, k.own_log, k.own_incidents, unpack(KEYS, 20))
return {'OK', epoch, seq, forgotten}
