-- Takes rows over from a file, all or none: new ones with their number, known ones keep number and memos.
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
-- ARGV
--   clock      ms, '' = Redis TIME
--   channel    where events are published
--   head       the event's JSON before the timestamp
--   editor     user id
--   rows_max   rows of a table
--   …          three values a row: row id, fields as JSON, number ('' = none)
-- RETURNS
--   {'OK', epoch, seq, rows added, rows changed} | {'FULL'} | {'ROOM_NOT_FOUND'}
-- EVENTS
--   the event, if anything has changed
--@include clock
--@include event_append
--@include named_keys
--@include lineup

local k = lineup_keys()
local clock, channel, head, editor, rows_max = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local FIRST_ROW, SIZE, BATCH = 6, 3, 500

local place = redis.call('HMGET', k.room, 'epoch', 'seq')
if not place[1] then
  return {'ROOM_NOT_FOUND'}
end

-- What is given and stands there already, a call for many rows: 5,000 of them are to hold nobody up.
local ids, given = {}, {}
for i = FIRST_ROW, #ARGV, SIZE do
  ids[#ids + 1] = ARGV[i]
  given[#given + 1] = {fields = ARGV[i + 1], number = ARGV[i + 2]}
end
local added, changed = 0, 0
local order, rows, versions, editors, numbers, groups = {}, {}, {}, {}, {}, {}
local version = string.format('%d', place[2] + 1)
local function push(flat, field, value)
  flat[#flat + 1] = field
  flat[#flat + 1] = value
end
for first = 1, #ids, BATCH do
  local last = math.min(first + BATCH - 1, #ids)
  local formers = redis.call('HMGET', k.rows, unpack(ids, first, last))
  for i = first, last do
    local id, row, former = ids[i], given[i], formers[i - first + 1]
    if former ~= row.fields then
      push(rows, id, row.fields)
      push(versions, id, version)
      push(editors, id, editor)
      if former then
        changed = changed + 1
      else
        added = added + 1
        push(order, id, id)
        if row.number ~= '' then
          push(numbers, id, row.number)
          groups[row.number] = (groups[row.number] or 0) + 1
        end
      end
    end
  end
end
if redis.call('HLEN', k.rows) + added > rows_max then
  return {'FULL'}
end
if added + changed == 0 then
  return {'OK', place[1], tonumber(place[2]), 0, 0}
end

local function write(command, key, flat)
  for i = 1, #flat, 2 * BATCH do
    redis.call(command, key, unpack(flat, i, math.min(i + 2 * BATCH - 1, #flat)))
  end
end
write('HSET', k.rows, rows)
write('HSET', k.versions, versions)
write('HSET', k.editors, editors)
write('ZADD', k.order, order)
write('HSET', k.numbers, numbers) -- of new rows, which had none
for number, count in pairs(groups) do
  redis.call('HINCRBY', k.groups, number, count)
end
local now_ms = clock_ms(clock)
lineup_trim(k, now_ms)
local tail = string.format(',"userId":"%s","added":%d,"changed":%d}', editor, added, changed)
local epoch, seq = event_append(k.room, k.log, channel, now_ms, head, tail)
return {'OK', epoch, seq, added, changed}
