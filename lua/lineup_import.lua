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
--   tail       the same behind it
--   rows_max   rows of a table
--   …          three values a row: row id, fields as JSON, number ('' = none)
-- RETURNS
--   {'OK', epoch, seq, rows added, rows changed} | {'FULL'} | {'ROOM_NOT_FOUND'}
-- EVENTS
--   the event, if anything has changed
--@include clock
--@include event_append
--@include lineup

local k = lineup_keys()
local clock, channel, head, tail, rows_max = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local FIRST_ROW, SIZE = 6, 3

local place = redis.call('HMGET', k.room, 'epoch', 'seq')
if not place[1] then
  return {'ROOM_NOT_FOUND'}
end
local new = 0
for i = FIRST_ROW, #ARGV, SIZE do
  new = new + 1 - redis.call('HEXISTS', k.rows, ARGV[i])
end
if redis.call('HLEN', k.rows) + new > rows_max then
  return {'FULL'}
end

local now_ms, added, changed = clock_ms(clock), 0, 0
local version = string.format('%d', place[2] + 1)
for i = FIRST_ROW, #ARGV, SIZE do
  local id, fields, number = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local former = redis.call('HGET', k.rows, id)
  if former ~= fields then
    redis.call('HSET', k.rows, id, fields)
    redis.call('HSET', k.versions, id, version)
    if former then
      changed = changed + 1
    else
      added = added + 1
      redis.call('ZADD', k.order, id, id)
      if number ~= '' then
        lineup_set_number(k, id, number)
      end
    end
  end
end
if added + changed == 0 then
  return {'OK', place[1], tonumber(place[2]), 0, 0}
end
lineup_trim(k, now_ms)
local counts = string.format(',"added":%d,"changed":%d', added, changed)
local epoch, seq = event_append(k.room, k.log, channel, now_ms, head, counts .. tail)
return {'OK', epoch, seq, added, changed}
