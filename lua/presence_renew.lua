-- Extends the leases of one node's connections and sweeps those of others that have ended; with no leases, only that.
-- Also the node's watchdog: epoch and seq tell it whether it missed something.
--
-- KEYS
--   room         HASH
--   signed_in    ZSET
--   connections  HASH
--   members      SET
--   log          STREAM
--   profiles     HASH
--   places       HASH
--   seen         ZSET
--   online       ZSET
--   away         ZSET
--   busy         ZSET
--   changed      ZSET
--   hours        HASH
--   days         HASH
--   chosen       HASH
--   idle         SET
--   idlers       HASH
-- ARGV
--   clock        ms, '' = Redis TIME
--   channel      where events are published
--   mercy        ms that ended leases are given instead of being swept, 0 = none
--   head         a `user:status` event's JSON before the timestamp
--   quiet        visible users up to which each change is told at once
--   pace         ms between two events above that
--   batch        users in one event at most
--   lease_ms     ms
--   …            this node's leases, any number
-- RETURNS
--   {'OK', epoch, seq, ms until more can be told or -1, {user, new status, …}, {user who went, …}, {own lease that was gone, …}} | {'ROOM_NOT_FOUND'}
-- EVENTS
--   `user:status` for what has changed, at the pace of the room
--@include clock
--@include event_append
--@include named_keys
--@include presence

local k = presence_keys()
local clock, channel, mercy, head = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local quiet, pace, batch = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local lease_ms = tonumber(ARGV[8])
local FIRST_LEASE, CHUNK = 9, 1000

if redis.call('EXISTS', k.room) == 0 then
  return {'ROOM_NOT_FOUND'}
end
local now_ms = clock_ms(clock)
local swept = presence_sweep(k, now_ms, mercy)

local gone = {}
for from = FIRST_LEASE, #ARGV, CHUNK do
  local to = math.min(from + CHUNK - 1, #ARGV)
  local arguments = {}
  for i = from, to do
    arguments[#arguments + 1] = now_ms + lease_ms
    arguments[#arguments + 1] = ARGV[i]
  end
  redis.call('ZADD', k.signed_in, 'XX', unpack(arguments))
  for i, score in ipairs(redis.call('ZMSCORE', k.signed_in, unpack(ARGV, from, to))) do
    if not score then
      gone[#gone + 1] = ARGV[from + i - 1]
    end
  end
end

local wait = presence_tell(k, channel, now_ms, head, quiet, pace, batch)
local place = redis.call('HMGET', k.room, 'epoch', 'seq')
return {'OK', place[1], tonumber(place[2]), wait, presence_now, swept, gone}
