-- Marks which cell a connection is editing, or that it edits none any more. Advice for others; not logged.
--
-- KEYS
--   room       HASH
--   rows       HASH
--   members    SET
--   editing    HASH
-- ARGV
--   clock      ms, '' = Redis TIME
--   channel    where the mark is published
--   member     user id that must be a member, '' = nobody must
--   lease      '<user>/<connection>'
--   row        row id, '' = whichever this connection is in
--   mark       the mark's JSON, '' = none any more
--   event      what is published, '' = nothing
--   mark_ms    ms until the mark is forgotten
-- RETURNS
--   {'OK', former mark's JSON or ''} | {'ROOM_NOT_FOUND'} | {'NOT_A_MEMBER'} | {'LINEUP_NOT_FOUND', {row id}}
--@include clock

local room, rows, members, editing = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local clock, channel, member, lease, row = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local mark, event, mark_ms = ARGV[6], ARGV[7], tonumber(ARGV[8])

if redis.call('EXISTS', room) == 0 then
  return {'ROOM_NOT_FOUND'}
end
if member ~= '' and redis.call('SISMEMBER', members, member) == 0 then
  return {'NOT_A_MEMBER'}
end
if row ~= '' and redis.call('HEXISTS', rows, row) == 0 then
  return {'LINEUP_NOT_FOUND', {row}}
end
local former = string.match(redis.call('HGET', editing, lease) or '', '^%d+ (.*)$') or ''
if mark == '' then
  redis.call('HDEL', editing, lease)
else
  redis.call('HSET', editing, lease, string.format('%d ', clock_ms(clock) + mark_ms) .. mark)
  redis.call('PEXPIRE', editing, mark_ms)
end
if event ~= '' then
  redis.call('PUBLISH', channel, event)
end
return {'OK', former}
