-- Appends one event to a room's log and publishes the same bytes.
--
-- The order matters: XADD is the write that a full Redis refuses, so it comes first and nothing has changed when it
-- fails; PUBLISH comes last, so that nobody hears of an event that was not stored.

-- A Unix time in ms as ISO 8601 UTC. Redis has no os.date; days become a date by "civil_from_days"
-- (H. Hinnant, chrono-Compatible Low-Level Date Algorithms).
local function iso8601(now_ms)
  local seconds = math.floor(now_ms / 1000)
  local shifted = math.floor(seconds / 86400) + 719468
  local era = math.floor(shifted / 146097)
  local day_of_era = shifted - era * 146097
  local year_of_era = math.floor((day_of_era - math.floor(day_of_era / 1460) + math.floor(day_of_era / 36524)
    - math.floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era - (365 * year_of_era + math.floor(year_of_era / 4) - math.floor(year_of_era / 100))
  local month_from_march = math.floor((5 * day_of_year + 2) / 153)
  local day = day_of_year - math.floor((153 * month_from_march + 2) / 5) + 1
  local month = month_from_march < 10 and month_from_march + 3 or month_from_march - 9
  local year = year_of_era + era * 400 + (month <= 2 and 1 or 0)
  local second_of_day = seconds % 86400
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day, math.floor(second_of_day / 3600),
    math.floor(second_of_day / 60) % 60, second_of_day % 60, now_ms % 1000)
end

-- A stream that was just begun expires when its room does; later its expiry is lifted together with the room's.
local function expire_with_room(room, stream)
  if redis.call('XLEN', stream) == 1 then
    local ttl = redis.call('PTTL', room)
    if ttl > 0 then
      redis.call('PEXPIRE', stream, ttl)
    end
  end
end

-- `head` and `tail` are the event's JSON before and behind the timestamp. Returns epoch, seq and the room's retention.
local function event_append(room, log, channel, now_ms, head, tail)
  local place = redis.call('HMGET', room, 'epoch', 'seq', 'retention')
  local epoch, seq = place[1], string.format('%d', place[2] + 1)
  local event = '{"seq":' .. seq .. ',"epoch":"' .. epoch .. '"' .. head .. iso8601(now_ms) .. '"' .. tail
  redis.call('XADD', log, 'MAXLEN', '~', place[3], seq .. '-0', 'e', event)
  expire_with_room(room, log)
  redis.call('HSET', room, 'seq', seq)
  redis.call('PUBLISH', channel, event)
  return epoch, tonumber(seq), place[3]
end
