-- Carries out one edit of a line-up: member check → dedupe → row and version check → write → seq + 1 → XADD → PUBLISH.
-- A write of what is there already is acknowledged and tells nobody.
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
--   members    SET
--   dedupe     STRING, untouched when dedupe_ms is 0
--   undo       LIST, the user's own last edits, newest first
-- ARGV
--   clock      ms, '' = Redis TIME
--   channel    where events are published
--   member     user id that must be a member, '' = nobody must
--   dedupe_ms  ms for which the answer is remembered, 0 = the command has no id
--   head       the event's JSON before the timestamp
--   by         the event's `by` as JSON, with a comma in front, or ''
--   editor     user id
--   undo_max   edits that can be undone
--   memos_max  memos of a row
--   what       number, create, update, delete or undo
--   …          number: any number of row, number ('' = none), version that it must have ('' = any)
--              create: row, memo id, the memo's JSON up to its time, behind it
--              update: memo id, version of the row or '', text as JSON, colour as JSON or '', the memo's JSON behind them
--              delete: memo id, version of the row or ''
-- RETURNS
--   {'OK', epoch, seq, {row, …}} | {'DUPLICATE', epoch, seq, {row, …}} | {'NOT_A_MEMBER'} | {'ROOM_NOT_FOUND'}
--   {'CONFLICT', {row as it is, …}, {row id, …}} | {'LINEUP_NOT_FOUND', {row id, …}} | {'MEMO_NOT_FOUND'} | {'FULL'}
--   {'NOTHING'}: there is nothing to undo
-- EVENTS
--   `lineup-updated` for each row that has changed
--@include clock
--@include event_append
--@include named_keys
--@include lineup

local k = lineup_keys()
local members, dedupe, undo = KEYS[13], KEYS[14], KEYS[15]
local clock, channel, member, dedupe_ms, head, by = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local editor, undo_max, memos_max, what = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
local FIRST_GIVEN = 11
local given = {unpack(ARGV, FIRST_GIVEN)}

local function conflict(ids)
  local rows = {}
  for i, id in ipairs(ids) do
    rows[i] = lineup_row(k, id)
  end
  return {'CONFLICT', rows, ids}
end

-- Keeps an answer for when the same command comes again.
local function remember(answer)
  if dedupe_ms ~= '0' then
    local text = redis.call('HGET', k.room, 'createdAt') .. '\n' .. table.concat(answer, '\n')
    redis.call('SET', dedupe, text, 'PX', dedupe_ms)
  end
end

if redis.call('EXISTS', k.room) == 0 then
  return {'ROOM_NOT_FOUND'}
end
if member ~= '' and redis.call('SISMEMBER', members, member) == 0 then
  return {'NOT_A_MEMBER'}
end
if dedupe_ms ~= '0' then
  local answered = redis.call('GET', dedupe)
  if answered then
    local parts = lineup_split(answered)
    -- Of a former room of this id, nothing is left.
    if parts[1] == redis.call('HGET', k.room, 'createdAt') then
      if parts[2] == 'CONFLICT' then
        return conflict({unpack(parts, 3)})
      end
      return {'DUPLICATE', parts[2], tonumber(parts[3]), {unpack(parts, 4)}}
    end
  end
end

local now_ms = clock_ms(clock)

-- Each edit is checked as a whole before anything is written. What it does stands in `changes`, as undo wants it:
-- {row id, cell, before, after}; the cell is 'number' or a memo id, '' is nothing. What a plan returns is its refusal.
local changes = {}

local function exists(id)
  return redis.call('HEXISTS', k.rows, id) == 1
end

local function fits(id, version)
  return version == '' or version == (redis.call('HGET', k.versions, id) or '0')
end

local function current(id, cell)
  if cell == 'number' then
    return redis.call('HGET', k.numbers, id) or ''
  end
  return redis.call('HGET', k.memos, cell) or ''
end

local plan = {}

function plan.number()
  local unknown, stale = {}, {}
  for i = 1, #given, 3 do
    local id, number, version = given[i], given[i + 1], given[i + 2]
    if not exists(id) then
      unknown[#unknown + 1] = id
    elseif current(id, 'number') ~= number then
      if fits(id, version) then
        changes[#changes + 1] = {id, 'number', current(id, 'number'), number}
      else
        stale[#stale + 1] = id
      end
    end
  end
  if #unknown > 0 then
    return {'LINEUP_NOT_FOUND', unknown}
  elseif #stale > 0 then
    return conflict(stale)
  end
end

function plan.create()
  local id, memo_id, front, back = unpack(given)
  local there = redis.call('HGET', k.memo_rows, memo_id)
  if not exists(id) then
    return {'LINEUP_NOT_FOUND', {id}}
  elseif there == id and string.sub(current(id, memo_id), 1, #front) == front then
    return -- the same memo again is as good as the first time
  elseif there then
    return conflict({there})
  elseif #lineup_memo_ids(k, id) >= memos_max then
    return {'FULL'}
  end
  changes[1] = {id, memo_id, '', front .. iso8601(now_ms) .. back}
end

function plan.update()
  local memo_id, version, text, colour, back = unpack(given)
  local id = redis.call('HGET', k.memo_rows, memo_id)
  if not id then
    return {'MEMO_NOT_FOUND'}
  end
  local before = current(id, memo_id)
  if colour == '' then
    colour = string.match(before, '","color":("#%x+"),"by":"')
  end
  local front = '{"memoId":"' .. memo_id .. '","memo":' .. text .. ',"color":' .. colour
  if string.sub(before, 1, #front) == front then
    return
  end
  if not fits(id, version) then
    return conflict({id})
  end
  changes[1] = {id, memo_id, before, front .. ',"by":"' .. editor .. '","at":"' .. iso8601(now_ms) .. back}
end

function plan.delete()
  local memo_id, version = unpack(given)
  local id = redis.call('HGET', k.memo_rows, memo_id)
  if not id then
    return {'MEMO_NOT_FOUND'}
  elseif not fits(id, version) then
    return conflict({id})
  end
  changes[1] = {id, memo_id, current(id, memo_id), ''}
end

-- Takes back the user's last edit, unless somebody has changed one of its cells since; then it is forgotten.
function plan.undo()
  local edit = redis.call('LINDEX', undo, 0)
  if not edit then
    return {'NOTHING'}
  end
  local stale, parts = {}, {}
  for part in string.gmatch(edit, '([^\n]*)\n') do
    parts[#parts + 1] = part
  end
  for i = 1, #parts, 4 do
    local id, cell, before, after = unpack(parts, i, i + 3)
    if current(id, cell) ~= after then
      stale[#stale + 1] = id
    else
      changes[#changes + 1] = {id, cell, after, before}
      if cell ~= 'number' and after == '' and #lineup_memo_ids(k, id) >= memos_max then
        return {'FULL'}
      end
    end
  end
  redis.call('LPOP', undo)
  if #stale > 0 then
    remember({'CONFLICT', unpack(stale)}) -- the same command again must not be about the edit before
    return conflict(stale)
  end
end

local refused = plan[what]()
if refused then
  return refused
end

local place = redis.call('HMGET', k.room, 'epoch', 'seq')
local epoch, seq, rows, remembered = place[1], tonumber(place[2]), {}, {}
for _, change in ipairs(changes) do
  local id, cell, before, after = unpack(change)
  if cell == 'number' then
    lineup_set_number(k, id, after)
  elseif after == '' then
    lineup_remove_memo(k, id, cell)
  elseif before == '' then
    lineup_add_memo(k, id, cell, after)
  else
    redis.call('HSET', k.memos, cell, after)
  end
  local told = lineup_change(cell, before, after)
  epoch, seq, rows[#rows + 1] = lineup_tell(k, channel, now_ms, head, by, id, told, editor)
  remembered[#remembered + 1] = table.concat(change, '\n') .. '\n'
end
if #changes == 0 then
  -- The rows that the command is about, as they are.
  local told = {}
  for i = 1, what == 'number' and #given or 1, 3 do
    local id = (what == 'number' or what == 'create') and given[i] or redis.call('HGET', k.memo_rows, given[1])
    if not told[id] then
      told[id] = true
      rows[#rows + 1] = lineup_row(k, id)
    end
  end
elseif what ~= 'undo' then
  redis.call('LPUSH', undo, table.concat(remembered))
  redis.call('LTRIM', undo, 0, undo_max - 1)
  redis.call('EXPIRE', undo, LINEUP_KEPT_DAYS * 86400)
end
remember({epoch, string.format('%d', seq), unpack(rows)})
return {'OK', epoch, seq, rows}
