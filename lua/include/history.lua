-- One endpoint's results: each of the last day in a stream; counted by hour for 90 days and by day for two years. Needs
-- event_append.
--
-- An hour or a day is one text: `<up> <degraded> <down> <unknown> <sum of ms> <highest ms> <ms up> <ms down>`, then how many
-- answers took up to 10 ms, to 20 ms … and longer; zeros at its end are left out. Only `up` and `degraded` have a latency.
--
-- A result stands for the time since the one before it, `span_ms` at most: an endpoint that fails is checked more often, and
-- counting checks would make each of its minutes down weigh as much as several up. The first one stands for a second.

local HISTORY_STATUSES = {UP = 1, DEGRADED = 2, DOWN = 3, UNKNOWN = 4}
local HISTORY_SUM, HISTORY_MAX, HISTORY_UP_MS, HISTORY_DOWN_MS = 5, 6, 7, 8
local HISTORY_FIRST_MS = 1000
local HISTORY_BOUNDS = {10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000} -- as in c2c/monitoring/history.py
local HISTORY_RESULTS, HISTORY_TEXT_MS = 20000, 3600000
local HISTORY_DAY_MS, HISTORY_HOURS_MS, HISTORY_DAYS_MS = 86400000, 90 * 86400000, 730 * 86400000
local HISTORY_ERROR = 8 -- where the text of the error stands among an entry's fields

local function history_same(text)
  return string.match(text or '', '^=(%d+%-%d+)$')
end

local function history_ms(id)
  return tonumber(string.match(id, '^%d+'))
end

local function history_error_of(results, id)
  local entry = redis.call('XRANGE', results, id, id)[1]
  return entry and entry[2][HISTORY_ERROR] or ''
end

-- What stands for an error's text: while it repeats that of the last entry, `=` and the id of the one that has it, for an
-- hour, so that an endpoint that is down all day takes little more than one that is not.
local function history_error(results, at_ms, text, last)
  if string.sub(text, 1, 1) == '=' then
    text = ' ' .. text
  end
  if not last then
    return text
  end
  local id = history_same(last[2][HISTORY_ERROR]) or last[1]
  local is_old = at_ms - history_ms(id) >= HISTORY_TEXT_MS
  if #text <= #id or is_old or history_error_of(results, id) ~= text then
    return text
  end
  return '=' .. id
end

-- Forgets the hours or days that are over, and those of a future that never came.
local function history_forget(bucket, at_ms, length, kept_ms)
  local oldest = string.sub(iso8601(math.max(0, at_ms - kept_ms)), 1, length)
  local newest = string.sub(iso8601(at_ms + HISTORY_DAY_MS), 1, length)
  for _, name in ipairs(redis.call('HKEYS', bucket)) do
    if name < oldest or name > newest then
      redis.call('HDEL', bucket, name)
    end
  end
end

-- Counts a result that stands for `stands_ms` in an hour or a day; `ms` is nil where it has no latency. Returns whether it
-- is a new hour or day.
local function history_count(bucket, name, status, ms, stands_ms)
  local former, words = redis.call('HGET', bucket, name), {}
  for word in string.gmatch(former or '', '%d+') do
    words[#words + 1] = word
  end
  local function set(place, number)
    for i = #words + 1, place do
      words[i] = '0'
    end
    words[place] = string.format('%.0f', number)
  end
  local function add(place, number)
    set(place, (words[place] or 0) + number)
  end
  add(HISTORY_STATUSES[status], 1)
  if status == 'DOWN' then
    add(HISTORY_DOWN_MS, stands_ms)
  elseif status ~= 'UNKNOWN' then
    add(HISTORY_UP_MS, stands_ms)
  end
  if ms then
    add(HISTORY_SUM, ms)
    set(HISTORY_MAX, math.max(words[HISTORY_MAX] or 0, ms))
    local bound = 1
    while HISTORY_BOUNDS[bound] and ms > HISTORY_BOUNDS[bound] do
      bound = bound + 1
    end
    add(HISTORY_DOWN_MS + bound, 1)
  end
  redis.call('HSET', bucket, name, table.concat(words, ' '))
  return not former
end

-- Adds a result. `at_ms`: its slot; `span_ms`: the longest time that it can stand for; `status`: UP, DEGRADED, DOWN or
-- UNKNOWN; `ms`: how long it took, whole; '' where there is no such thing.
local function history_add(results, hours, days, at_ms, span_ms, status, ms, code, text, reason)
  local last = redis.call('XREVRANGE', results, '+', '-', 'COUNT', 1)[1]
  if last and history_ms(last[1]) > at_ms + HISTORY_DAY_MS then
    -- The clock went back by more than a day: what stands here is from a time that never was.
    redis.call('UNLINK', results)
    last = nil
  end
  -- Ids only rise: where the clock went back by less, a result stands behind the last one.
  local id = string.format('%.0f-*', math.max(at_ms, last and history_ms(last[1]) or 0))
  redis.call('XADD', results, 'MAXLEN', '~', HISTORY_RESULTS, id, 'status', status, 'ms', ms, 'code', code,
    'error', history_error(results, at_ms, text, last), 'reason', reason)
  redis.call('XTRIM', results, 'MINID', '~', string.format('%.0f', math.max(0, at_ms - HISTORY_DAY_MS)))

  local is_answer = (status == 'UP' or status == 'DEGRADED') and ms ~= ''
  local latency, name = is_answer and tonumber(ms) or nil, iso8601(at_ms)
  local since_ms = last and at_ms - history_ms(last[1]) or HISTORY_FIRST_MS
  local stands_ms = math.max(0, math.min(since_ms, span_ms))
  -- A new hour or day is the occasion to forget old ones.
  if history_count(hours, string.sub(name, 1, 13), status, latency, stands_ms) then
    history_forget(hours, at_ms, 13, HISTORY_HOURS_MS)
  end
  if history_count(days, string.sub(name, 1, 10), status, latency, stands_ms) then
    history_forget(days, at_ms, 10, HISTORY_DAYS_MS)
  end
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
