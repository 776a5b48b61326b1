-- A line-up's table: each column is a hash by row id, so that a cell is read and written alone and numbers stay numbers.
-- Needs clock, event_append and named_keys.
--
-- A row's JSON is put together here from texts that nodes wrote; nothing is decoded. Row ids are integers, memo ids and
-- user ids need no escaping: letters, digits and . _ - @ only. A newline stands in no JSON text and parts lists.

local LINEUP_KEPT_DAYS = 30

local function lineup_keys()
  local names = {'room', 'log', 'log_days', 'order', 'rows', 'numbers', 'versions', 'editors', 'memos', 'memo_rows',
    'row_memos', 'groups'}
  return named_keys(names)
end

local function lineup_split(text)
  local parts = {}
  for part in string.gmatch(text or '', '[^\n]+') do
    parts[#parts + 1] = part
  end
  return parts
end

local function lineup_memo_ids(k, id)
  return lineup_split(redis.call('HGET', k.row_memos, id) or '')
end

local function lineup_text(id, fields, number, memos, version, editor)
  return '{"lineupId":' .. id .. (fields ~= '{}' and ',' .. string.sub(fields, 2, -2) or '')
    .. ',"gbsNumber":' .. (number or 'null') .. ',"memos":[' .. table.concat(memos, ',') .. ']'
    .. ',"version":' .. (version or '0') .. ',"updatedBy":' .. (editor and '"' .. editor .. '"' or 'null') .. '}'
end

-- A row as clients see it.
local function lineup_row(k, id)
  local ids, memos = lineup_memo_ids(k, id), {}
  if #ids > 0 then
    memos = redis.call('HMGET', k.memos, unpack(ids))
  end
  return lineup_text(id, redis.call('HGET', k.rows, id), redis.call('HGET', k.numbers, id), memos,
    redis.call('HGET', k.versions, id), redis.call('HGET', k.editors, id))
end

-- Writes a number, '' = none, and keeps the counts of the groups.
local function lineup_set_number(k, id, number)
  local former = redis.call('HGET', k.numbers, id)
  if former and redis.call('HINCRBY', k.groups, former, -1) <= 0 then
    redis.call('HDEL', k.groups, former)
  end
  if number == '' then
    redis.call('HDEL', k.numbers, id)
  else
    redis.call('HSET', k.numbers, id, number)
    redis.call('HINCRBY', k.groups, number, 1)
  end
end

local function lineup_add_memo(k, id, memo_id, memo)
  redis.call('HSET', k.memos, memo_id, memo)
  redis.call('HSET', k.memo_rows, memo_id, id)
  local ids = lineup_memo_ids(k, id)
  ids[#ids + 1] = memo_id
  redis.call('HSET', k.row_memos, id, table.concat(ids, '\n'))
end

local function lineup_remove_memo(k, id, memo_id)
  redis.call('HDEL', k.memos, memo_id)
  redis.call('HDEL', k.memo_rows, memo_id)
  local left = {}
  for _, each in ipairs(lineup_memo_ids(k, id)) do
    if each ~= memo_id then
      left[#left + 1] = each
    end
  end
  if #left == 0 then
    redis.call('HDEL', k.row_memos, id)
  else
    redis.call('HSET', k.row_memos, id, table.concat(left, '\n'))
  end
end

-- Notes where each day's log begins, and trims what is older than 30 days. Entries of a log have no time of their own.
local function lineup_trim(k, now_ms)
  local today = string.sub(iso8601(now_ms), 1, 10)
  local seq = tonumber(redis.call('HGET', k.room, 'seq'))
  if redis.call('HSETNX', k.log_days, today, seq + 1) == 0 then
    return
  end
  local oldest = string.sub(iso8601(math.max(0, now_ms - LINEUP_KEPT_DAYS * 86400000)), 1, 10)
  local kept
  for _, day in ipairs(redis.call('HKEYS', k.log_days)) do
    if day < oldest then
      redis.call('HDEL', k.log_days, day)
    else
      local first = tonumber(redis.call('HGET', k.log_days, day))
      kept = math.min(kept or first, first)
    end
  end
  redis.call('XTRIM', k.log, 'MINID', string.format('%d-0', kept))
end

-- A change of a cell as others are told of it.
local function lineup_change(cell, before, after)
  local function or_null(text)
    return text == '' and 'null' or text
  end
  return (cell == 'number' and '{"field":"gbsNumber"' or '{"field":"memo","memoId":"' .. cell .. '"')
    .. ',"before":' .. or_null(before) .. ',"after":' .. or_null(after) .. '}'
end

-- Tells of a row that was changed: sets its version to the event's seq, appends, publishes. Returns epoch, seq, the row.
local function lineup_tell(k, channel, now_ms, head, by, id, change, editor)
  lineup_trim(k, now_ms)
  local version = string.format('%d', redis.call('HGET', k.room, 'seq') + 1)
  redis.call('HSET', k.versions, id, version)
  redis.call('HSET', k.editors, id, editor)
  local row = lineup_row(k, id)
  local tail = by .. ',"row":' .. row .. ',"userId":"' .. editor .. '","change":' .. change .. '}'
  local epoch, seq = event_append(k.room, k.log, channel, now_ms, head, tail)
  return epoch, seq, row
end
