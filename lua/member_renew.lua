-- Extends the leases of one node's connections in a room and sweeps the expired ones of others.
-- Also the node's watchdog: epoch and seq tell it whether it missed something.
--
-- KEYS
--   room        HASH
--   members     SET
--   leases      ZSET
--   connections HASH
--   log         STREAM
--   messages    STREAM
-- ARGV
--   clock       ms, '' = Redis TIME
--   channel     where leave events are published
--   lease_ms    ms
--   member_ttl  ms until the membership keys expire unless renewed
--   mercy       ms that ended leases are given instead of being swept, 0 = none
--   left_head   the leave event's JSON before the timestamp
--   left_tail   the same behind the user id
--   …           this node's leases, any number
-- RETURNS
--   {'OK', epoch, seq, ms until the next lease of anybody ends or -1, 1 if the room's expiry was lifted else 0,
--    {own lease that was gone, …}} | {'ROOM_NOT_FOUND'}
--   A lease that is gone was swept: it is not brought back here, because its user may have left since. The node joins
--   again for connections that are still open.
-- EVENTS
--   the leave event of each user that was swept
--@include clock
--@include event_append
--@include lease_remove

local room, members, leases, connections, log, messages = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local clock, channel, lease_ms, member_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local mercy, left_head, left_tail = tonumber(ARGV[5]), ARGV[6], ARGV[7]
local FIRST_LEASE, CHUNK = 8, 1000 -- Lua's unpack has a limit of some thousands

if redis.call('EXISTS', room) == 0 then
  return {'ROOM_NOT_FOUND'}
end
local now_ms = clock_ms(clock)
local deadline = now_ms + lease_ms

-- Sweep before extending: a lease that has ended is over, also for its own node, or the answer would depend on which
-- node came first.
lease_sweep(room, members, leases, connections, log, channel, now_ms, mercy, left_head, left_tail)

local gone = {}
for from = FIRST_LEASE, #ARGV, CHUNK do
  local to = math.min(from + CHUNK - 1, #ARGV)
  local arguments = {}
  for i = from, to do
    arguments[#arguments + 1] = deadline
    arguments[#arguments + 1] = ARGV[i]
  end
  if redis.call('ZADD', leases, 'XX', 'CH', unpack(arguments)) < to - from + 1 then
    for i = from, to do
      if not redis.call('ZSCORE', leases, ARGV[i]) then
        gone[#gone + 1] = ARGV[i]
      end
    end
  end
end

local lifted = 0
if #ARGV >= FIRST_LEASE then
  for _, key in ipairs({members, leases, connections}) do
    redis.call('PEXPIRE', key, member_ttl)
  end
  -- The long expiry is re-armed when half of it has gone: once in hours instead of every few seconds.
  local room_ttl = tonumber(redis.call('HGET', room, 'ttl'))
  if room_ttl > 0 and redis.call('PTTL', room) < room_ttl / 2 then
    lifted = 1
    for _, key in ipairs({room, log, messages}) do
      redis.call('PEXPIRE', key, room_ttl)
    end
  end
end

local first = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
local next_end = first[2] and math.max(0, tonumber(first[2]) - now_ms) or -1
local place = redis.call('HMGET', room, 'epoch', 'seq')
return {'OK', place[1], tonumber(place[2]), next_end, lifted, gone}
