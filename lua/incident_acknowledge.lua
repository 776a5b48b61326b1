-- Notes who has taken an open incident on; the first one counts.
--
-- KEYS
--   room             HASH of `all-endpoints`
--   log              STREAM
--   open             SET
--   incidents        HASH
--   acknowledged     HASH
--   deliveries       ZSET
--   delivery_bodies  HASH
--   own              HASH of `endpoint:<id>`
--   own_log          STREAM
-- ARGV
--   clock            ms, '' = Redis TIME
--   channel          of `all-endpoints`
--   own_channel      of `endpoint:<id>`
--   incident         incident id
--   text             JSON before the time
--   head             the event's JSON before the timestamp
--   own_head         the same in the endpoint's room
--   tail             the event's JSON behind it, up to the time
--   …                for each webhook a delivery's id and its body
-- RETURNS
--   {'OK', now, incident, acknowledgement} | {'KNOWN', now, incident, acknowledgement} | {'CLOSED', now, incident}
--   {'INCIDENT_NOT_FOUND'}
-- EVENTS
--   `incident:acknowledged`, in both rooms
--@include clock
--@include event_append
--@include delivery

local room, log, open, incidents, acknowledged = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local deliveries, delivery_bodies, own, own_log = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local clock, channel, own_channel, incident = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local text, head, own_head, tail = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local FIRST_DELIVERY = 9

local found = redis.call('HGET', incidents, incident)
if not found then
  return {'INCIDENT_NOT_FOUND'}
end
local now_ms = clock_ms(clock)
local former = redis.call('HGET', acknowledged, incident)
if former then
  return {'KNOWN', now_ms, found, former}
elseif redis.call('SISMEMBER', open, incident) == 0 then
  return {'CLOSED', now_ms, found}
end
local at = '"' .. iso8601(now_ms) .. '"}'
redis.call('HSET', acknowledged, incident, text .. at)
event_append(room, log, channel, now_ms, head, tail .. at)
if redis.call('EXISTS', own) == 1 then
  event_append(own, own_log, own_channel, now_ms, own_head, tail .. at)
end
for i = FIRST_DELIVERY, #ARGV, 2 do
  delivery_add(deliveries, delivery_bodies, ARGV[i], now_ms, ARGV[i + 1])
end
return {'OK', now_ms, found, text .. at}
