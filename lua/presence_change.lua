-- Carries out what a node knows of its users: who came and went, what they chose, where they are.
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
--   lease_ms     ms that a connection is believed to live unless renewed
--   grace        ms for a dropped one
--   …            changes of 5 values each: what, user, connection, and by what
--                  arrive  status that the user has chosen, profile as JSON
--                  leave   '', ''
--                  drop    '', ''
--                  status  status, ''
--                  idle    1 or '', ''
--                  place   room entered or '', the room left or ''
-- RETURNS
--   {'OK', epoch, seq, ms until more can be told or -1, {user, new status, …},
--    {user who went with their last connection, …}} | {'ROOM_NOT_FOUND'}
-- EVENTS
--   `user:status` for what has changed, at the pace of the room
--@include clock
--@include event_append
--@include named_keys
--@include presence

local k = presence_keys()
local clock, channel, mercy, head = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local quiet, pace, batch = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local lease_ms, grace = tonumber(ARGV[8]), tonumber(ARGV[9])
local FIRST_CHANGE, SIZE = 10, 5

if redis.call('EXISTS', k.room) == 0 then
  return {'ROOM_NOT_FOUND'}
end
local now_ms = clock_ms(clock)
local gone = presence_sweep(k, now_ms, mercy)

local function visible(user)
  return redis.call('SISMEMBER', k.members, user) == 1
end

-- What a dropped connection leaves behind for the grace period, one a user. The user's next connection takes its place,
-- and nobody is told anything.
local function stand_in(user)
  return user .. '/dropped'
end

local change = {}

function change.arrive(user, lease, status, profile)
  local new = redis.call('HEXISTS', k.connections, user) == 0
  local added = redis.call('ZADD', k.signed_in, now_ms + lease_ms, lease) == 1
  if added and redis.call('ZREM', k.signed_in, stand_in(user)) == 1 then
    added = false
    -- Who was not there has not come back by themselves: the page says so when they do.
    presence_idle(k, user, lease, presence_idle(k, user, stand_in(user), false))
  end
  if added or new then
    redis.call('HINCRBY', k.connections, user, 1)
  end
  local renamed = redis.call('HGET', k.profiles, user) ~= profile
  if renamed then
    redis.call('HSET', k.profiles, user, profile)
  end
  if new then
    presence_choose(k, user, status)
  end
  presence_judge(k, now_ms, user)
  if not new and (added or renamed) and visible(user) then
    presence_changed(k, now_ms, user)
  end
end

function change.leave(user, lease)
  if presence_end(k, now_ms, lease) then
    gone[#gone + 1] = user
  end
end

function change.drop(user, lease)
  local deadline = redis.call('ZSCORE', k.signed_in, lease)
  if not deadline then
    return
  end
  deadline = math.min(tonumber(deadline), now_ms + grace)
  if redis.call('ZADD', k.signed_in, 'GT', deadline, stand_in(user)) == 1 then
    redis.call('ZREM', k.signed_in, lease)
    presence_idle(k, user, stand_in(user), presence_idle(k, user, lease, false))
  else
    presence_end(k, now_ms, lease)
  end
end

function change.status(user, _, status)
  if redis.call('HEXISTS', k.connections, user) == 1 then
    presence_choose(k, user, status)
    presence_judge(k, now_ms, user)
  end
end

function change.idle(user, lease, idle)
  if redis.call('ZSCORE', k.signed_in, lease) then
    presence_idle(k, user, lease, idle == '1')
    presence_judge(k, now_ms, user)
  end
end

function change.place(user, _, entered, left)
  if redis.call('HEXISTS', k.connections, user) == 0 then
    return
  end
  local here = redis.call('HGET', k.places, user) or ''
  if here == entered or (left ~= '' and here ~= left) then
    return -- on another node, the user has gone on meanwhile
  end
  if entered ~= '' then
    redis.call('HSET', k.places, user, entered)
  else
    redis.call('HDEL', k.places, user)
  end
  if visible(user) then
    presence_changed(k, now_ms, user)
  end
end

for i = FIRST_CHANGE, #ARGV, SIZE do
  change[ARGV[i]](ARGV[i + 1], ARGV[i + 1] .. '/' .. ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
end

local went = {}
for _, user in ipairs(gone) do
  if redis.call('HEXISTS', k.connections, user) == 0 then
    went[#went + 1] = user -- and did not come back in the same call
  end
end

local wait = presence_tell(k, channel, now_ms, head, quiet, pace, batch)
local place = redis.call('HMGET', k.room, 'epoch', 'seq')
return {'OK', place[1], tonumber(place[2]), wait, presence_now, went}
