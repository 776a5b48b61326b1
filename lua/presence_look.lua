-- Reads what others see of some users, signed in or not.
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
--   …            user ids, some hundreds at most
-- RETURNS
--   {'OK', {user's JSON, …}} in the order of the ids | {'ROOM_NOT_FOUND'}
-- EVENTS
--   `user:status` for what has changed, at the pace of the room
--@include clock
--@include event_append
--@include named_keys
--@include presence

local k = presence_keys()
local clock, channel, mercy, head = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local quiet, pace, batch = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local FIRST_USER = 8

if redis.call('EXISTS', k.room) == 0 then
  return {'ROOM_NOT_FOUND'}
end
local now_ms = clock_ms(clock)
presence_sweep(k, now_ms, mercy)
presence_tell(k, channel, now_ms, head, quiet, pace, batch)
return {'OK', (presence_texts(k, now_ms, {unpack(ARGV, FIRST_USER)}))}
