-- Takes one connection of a user out of a room at once; the user leaves with their last one.
--
-- KEYS
--   room        HASH
--   members     SET
--   leases      ZSET
--   connections HASH
--   log         STREAM
-- ARGV
--   clock       ms, '' = Redis TIME
--   channel     where the leave event is published
--   lease       '<user>/<connection>'
--   left_head   the leave event's JSON before the timestamp
--   left_tail   the same behind the user id
-- RETURNS
--   {'OK'}
-- EVENTS
--   the leave event, if it was the user's last lease
--@include clock
--@include event_append
--@include lease_remove

local room, members, leases, connections, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local clock, channel, lease, left_head, left_tail = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

if redis.call('ZSCORE', leases, lease) then
  lease_remove(room, members, leases, connections, log, channel, clock_ms(clock), lease, left_head,
    left_tail)
end
return {'OK'}
