-- Reads a whole line-up, its groups, and who is editing what.
--
-- KEYS
--   room       HASH
--   log        STREAM
--   log_days   HASH
--   order      ZSET
--   rows       HASH
--   numbers    HASH
--   versions   HASH
--   editors    HASH
--   memos      HASH
--   memo_rows  HASH
--   row_memos  HASH
--   groups     HASH
--   editing    HASH
-- ARGV
--   clock      ms, '' = Redis TIME
-- RETURNS
--   {'OK', epoch, seq, {row, …}, {number, count, …}, {editing mark's JSON, …}} | {'ROOM_NOT_FOUND'}
--@include clock
--@include event_append
--@include named_keys
--@include lineup

local k = lineup_keys()
local editing = KEYS[13]
local clock = ARGV[1]

local place = redis.call('HMGET', k.room, 'epoch', 'seq')
if not place[1] then
  return {'ROOM_NOT_FOUND'}
end

local function whole(key)
  local found, flat = {}, redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    found[flat[i]] = flat[i + 1]
  end
  return found
end

local fields, numbers, versions, editors = whole(k.rows), whole(k.numbers), whole(k.versions), whole(k.editors)
local memos, row_memos = whole(k.memos), whole(k.row_memos)
local rows = {}
for i, id in ipairs(redis.call('ZRANGE', k.order, 0, -1)) do
  local texts = {}
  for j, memo_id in ipairs(lineup_split(row_memos[id])) do
    texts[j] = memos[memo_id]
  end
  rows[i] = lineup_text(id, fields[id], numbers[id], texts, versions[id], editors[id])
end

local now_ms, marks = clock_ms(clock), {}
for lease, mark in pairs(whole(editing)) do
  local ends_ms, text = string.match(mark, '^(%d+) (.*)$')
  if tonumber(ends_ms) <= now_ms then
    redis.call('HDEL', editing, lease)
  else
    marks[#marks + 1] = text
  end
end
return {'OK', place[1], tonumber(place[2]), rows, redis.call('HGETALL', k.groups), marks}
