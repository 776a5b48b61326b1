-- Opens a room: mints its epoch and makes its creator a member for a while. Does nothing when the room exists.
--
-- KEYS
--   room          HASH
--   members       SET
--   leases        ZSET
--   connections   HASH
--   log           STREAM
--   messages      STREAM
-- ARGV
--   clock         ms, '' = Redis TIME
--   epoch         the new epoch, should the room be new
--   kind          name of the kind
--   creator       user id
--   title         '' = none
--   retention     log entries kept, about
--   room_ttl      ms until a room without anybody expires, 0 = never
--   member_ttl    ms until the membership keys expire unless renewed
--   creator_lease the creator's placeholder lease, '' = the creator does not become a member
--   lease_ms      ms that the placeholder lease lasts
-- RETURNS
--   {'OK', epoch, 0} | {'ROOM_EXISTS', epoch, seq}
--@include clock

local room, members, leases, connections, log, messages = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local clock, epoch, kind, creator, title = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local retention, room_ttl, member_ttl = ARGV[6], tonumber(ARGV[7]), ARGV[8]
local creator_lease, lease_ms = ARGV[9], tonumber(ARGV[10])

local place = redis.call('HMGET', room, 'epoch', 'seq')
if place[1] then
  return {'ROOM_EXISTS', place[1], tonumber(place[2])}
end

local now_ms = clock_ms(clock)
-- Leftovers of a former room of this id would contradict the new epoch.
redis.call('UNLINK', members, leases, connections, log, messages)
redis.call('HSET', room, 'kind', kind, 'creator', creator, 'createdAt', string.format('%d', now_ms), 'epoch', epoch,
  'seq', 0, 'retention', retention, 'ttl', room_ttl)
if title ~= '' then
  redis.call('HSET', room, 'title', title)
end
if room_ttl > 0 then
  redis.call('PEXPIRE', room, room_ttl)
end
if creator_lease ~= '' then
  redis.call('SADD', members, creator)
  redis.call('HSET', connections, creator, 1)
  redis.call('ZADD', leases, now_ms + lease_ms, creator_lease)
  for _, key in ipairs({members, leases, connections}) do
    redis.call('PEXPIRE', key, member_ttl)
  end
end
return {'OK', epoch, 0}
