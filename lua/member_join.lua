-- Brings one connection of a user into a room: sweep → lease → and, if the user is new, member and join event.
-- Joining again with the same lease only renews it.
--
-- KEYS
--   room        HASH
--   members     SET
--   leases      ZSET
--   connections HASH
--   log         STREAM
-- ARGV
--   clock       ms, '' = Redis TIME
--   channel     where events are published
--   user        user id
--   lease       this connection's lease, '<user>/<connection>'
--   placeholder the lease that the user may hold as the room's creator; this connection takes over from it
--   lease_ms    ms
--   member_ttl  ms until the membership keys expire unless renewed
--   joined_head the join event's JSON before the timestamp
--   joined_tail the same behind it
--   mercy       ms that ended leases are given instead of being swept, 0 = none
--   left_head   the leave event's JSON before the timestamp, for the sweep
--   left_tail   the same behind the user id
-- RETURNS
--   {'OK', epoch, seq, kind, creator, title, {user, …}} | {'ROOM_NOT_FOUND'}
-- EVENTS
--   the leave event of each user that was swept, the join event
--@include clock
--@include event_append
--@include lease_remove

local room, members, leases, connections, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local clock, channel, user, lease, placeholder = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local lease_ms, member_ttl = ARGV[6], ARGV[7]
local joined_head, joined_tail = ARGV[8], ARGV[9]
local mercy, left_head, left_tail = tonumber(ARGV[10]), ARGV[11], ARGV[12]

if redis.call('EXISTS', room) == 0 then
  return {'ROOM_NOT_FOUND'}
end
local now_ms = clock_ms(clock)
lease_sweep(room, members, leases, connections, log, channel, now_ms, mercy, left_head, left_tail)

if redis.call('SISMEMBER', members, user) == 0 then
  event_append(room, log, channel, now_ms, joined_head, joined_tail)
  redis.call('SADD', members, user)
end
if redis.call('ZADD', leases, now_ms + lease_ms, lease) == 1 then
  redis.call('HINCRBY', connections, user, 1)
end
if redis.call('ZREM', leases, placeholder) == 1 then
  redis.call('HINCRBY', connections, user, -1)
end
for _, key in ipairs({members, leases, connections}) do
  redis.call('PEXPIRE', key, member_ttl)
end
local place = redis.call('HMGET', room, 'epoch', 'seq', 'kind', 'creator', 'title')
return {'OK', place[1], tonumber(place[2]), place[3], place[4], place[5] or '', redis.call('SMEMBERS', members)}
