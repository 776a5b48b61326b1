-- One endpoint's results: each of the last day in a stream; counted by hour for 90 days and by day for two years. Needs
-- event_append.
--
-- An hour or a day is one text: `<up> <degraded> <down> <unknown> <sum of ms> <highest ms>`, then how many answers took up
-- to 10 ms, to 20 ms … and longer; zeros at its end are left out. Only `up` and `degraded` have a latency.

local HISTORY_STATUSES = {UP = 1, DEGRADED = 2, DOWN = 3, UNKNOWN = 4}
local HISTORY_SUM, HISTORY_MAX = 5, 6
local HISTORY_BOUNDS = {10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000} -- as in c2c/monitoring/history.py
local HISTORY_RESULTS, HISTORY_TEXT_MS = 20000, 3600000
local HISTORY_DAY_MS, HISTORY_HOURS_MS, HISTORY_DAYS_MS = 86400000, 90 * 86400000, 730 * 86400000
local HISTORY_ERROR = 8 -- where the text of the error stands among an entry's fields

local function history_same(text)
  return string.match(text or '', '^=(%d+%-%d+)$')
end

local function history_error_of(results, id)
  local entry = redis.call('XRANGE', results, id, id)[1]
  return entry and entry[2][HISTORY_ERROR] or ''
end

-- What stands for an error's text: while it repeats, `=` and the id of the result that has it, for an hour, so that an
-- endpoint that is down all day takes little more than one that is not.
local function history_error(results, at_ms, text)
  if string.sub(text, 1, 1) == '=' then
    text = ' ' .. text
  end
  local last = text ~= '' and redis.call('XREVRANGE', results, '+', '-', 'COUNT', 1)[1]
  if not last then
    return text
  end
  local id = history_same(last[2][HISTORY_ERROR]) or last[1]
  local is_old = at_ms - tonumber(string.match(id, '^%d+')) >= HISTORY_TEXT_MS
  if is_old or #text <= #id or history_error_of(results, id) ~= text then
    return text
  end
  return '=' .. id
end

-- Adds an entry, behind the last one also when the clock went back. When it went back by more than a day, what stands
-- there is from a time that never was.
local function history_append(results, at_ms, fields)
  local id = string.format('%.0f-*', at_ms)
  local added = redis.pcall('XADD', results, 'MAXLEN', '~', HISTORY_RESULTS, id, unpack(fields))
  if type(added) == 'table' and added.err then
    local info = redis.call('XINFO', 'STREAM', results)
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then
        local last = string.match(info[i + 1], '^%d+')
        if tonumber(last) > at_ms + HISTORY_DAY_MS then
          redis.call('UNLINK', results)
        elseif tonumber(last) > at_ms then
          id = last .. '-*'
        end
      end
    end
    redis.call('XADD', results, 'MAXLEN', '~', HISTORY_RESULTS, id, unpack(fields))
  end
  redis.call('XTRIM', results, 'MINID', '~', string.format('%.0f', math.max(0, at_ms - HISTORY_DAY_MS)))
end

-- Counts a result in an hour or a day. A new one is the occasion to forget what is over, or never was.
local function history_count(bucket, at_ms, length, kept_ms, status, ms)
  local function name_of(some_ms)
    return string.sub(iso8601(math.max(0, some_ms)), 1, length)
  end
  local name, numbers, last = name_of(at_ms), {}, 0
  for i = 1, HISTORY_MAX + #HISTORY_BOUNDS + 1 do
    numbers[i] = 0
  end
  local former = redis.call('HGET', bucket, name)
  if former then
    local i = 0
    for number in string.gmatch(former, '%d+') do
      i = i + 1
      numbers[i] = tonumber(number)
    end
  else
    local oldest, newest = name_of(at_ms - kept_ms), name_of(at_ms + HISTORY_DAY_MS)
    for _, old in ipairs(redis.call('HKEYS', bucket)) do
      if old < oldest or old > newest then
        redis.call('HDEL', bucket, old)
      end
    end
  end
  numbers[HISTORY_STATUSES[status]] = numbers[HISTORY_STATUSES[status]] + 1
  if ms then
    local place = 1
    while HISTORY_BOUNDS[place] and ms > HISTORY_BOUNDS[place] do
      place = place + 1
    end
    numbers[HISTORY_SUM] = numbers[HISTORY_SUM] + ms
    numbers[HISTORY_MAX] = math.max(numbers[HISTORY_MAX], ms)
    numbers[HISTORY_MAX + place] = numbers[HISTORY_MAX + place] + 1
  end
  for i, number in ipairs(numbers) do
    last = number > 0 and i or last
    numbers[i] = string.format('%.0f', number)
  end
  redis.call('HSET', bucket, name, table.concat(numbers, ' ', 1, last))
end

-- Adds a result. `at_ms`: its slot; `status`: UP, DEGRADED, DOWN or UNKNOWN; `ms`: how long it took, whole; '' where there
-- is no such thing.
local function history_add(results, hours, days, at_ms, status, ms, code, text, reason)
  local is_answer = (status == 'UP' or status == 'DEGRADED') and ms ~= ''
  history_append(results, at_ms, {'status', status, 'ms', ms, 'code', code, 'error', history_error(results, at_ms, text),
    'reason', reason})
  history_count(hours, at_ms, 13, HISTORY_HOURS_MS, status, is_answer and tonumber(ms))
  history_count(days, at_ms, 10, HISTORY_DAYS_MS, status, is_answer and tonumber(ms))
end

-- The newest results, newest first, as XREVRANGE gives them, each with the text of its error.
local function history_newest(results, limit)
  local entries, texts = limit > 0 and redis.call('XREVRANGE', results, '+', '-', 'COUNT', limit) or {}, {}
  for _, entry in ipairs(entries) do
    local id = history_same(entry[2][HISTORY_ERROR])
    if id then
      texts[id] = texts[id] or history_error_of(results, id)
      entry[2][HISTORY_ERROR] = texts[id]
    end
  end
  return entries
end
