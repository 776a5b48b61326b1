-- Appends an event that is about no endpoint to the room of all, with what webhooks are to be sent of it.
--
-- KEYS
--   room             HASH of `all-endpoints`
--   log              STREAM
--   deliveries       ZSET
--   delivery_bodies  HASH
-- ARGV
--   clock            ms, '' = Redis TIME
--   channel          where the event is published
--   head             the event's JSON before the timestamp
--   tail             the event's JSON behind it
--   …                for each delivery its id and its body
-- RETURNS
--   {'OK'} | {'ROOM_NOT_FOUND'}
-- EVENTS
--   the event
--@include clock
--@include event_append
--@include delivery

local room, log, deliveries, delivery_bodies = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local clock, channel, head, tail = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local FIRST_DELIVERY = 5

if redis.call('EXISTS', room) == 0 then
  return {'ROOM_NOT_FOUND'}
end
local now_ms = clock_ms(clock)
event_append(room, log, channel, now_ms, head, tail)
for i = FIRST_DELIVERY, #ARGV, 2 do
  delivery_add(deliveries, delivery_bodies, ARGV[i], now_ms, ARGV[i + 1])
end
return {'OK'}
