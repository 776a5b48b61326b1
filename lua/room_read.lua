-- Reads what a room is and who is in it, after a sweep: nobody is shown whose connection is gone.
--
-- KEYS
--   room        HASH
--   members     SET
--   leases      ZSET
--   connections HASH
--   log         STREAM
-- ARGV
--   clock       ms, '' = Redis TIME
--   channel     where leave events are published
--   mercy       ms that ended leases are given instead of being swept, 0 = none
--   left_head   the leave event's JSON before the timestamp
--   left_tail   the same behind the user id
-- RETURNS
--   {'OK', kind, creator, title, createdAt, epoch, seq, {user, …}} | {'ROOM_NOT_FOUND'}
-- EVENTS
--   the leave event of each user that was swept
--@include clock
--@include event_append
--@include lease_remove

local room, members, leases, connections, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local clock, channel, mercy, left_head, left_tail = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]

if redis.call('EXISTS', room) == 0 then
  return {'ROOM_NOT_FOUND'}
end
lease_sweep(room, members, leases, connections, log, channel, clock_ms(clock), mercy, left_head, left_tail)
local fields = redis.call('HMGET', room, 'kind', 'creator', 'title', 'createdAt', 'epoch', 'seq')
return {'OK', fields[1], fields[2], fields[3] or '', tonumber(fields[4]), fields[5], tonumber(fields[6]),
  redis.call('SMEMBERS', members)}
