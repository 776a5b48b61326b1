-- Maintenance windows: their texts are opaque but for `"end":"…"`, which a one-off window has. Needs event_append.

local WINDOWS_KEPT_MS = 7 * 86400000

-- Forgets one-off windows that ended a week ago. Times are all in UTC, so their texts sort as they do; no quote in a
-- value is bare.
local function maintenance_forget(windows, now_ms)
  local oldest = iso8601(math.max(0, now_ms - WINDOWS_KEPT_MS))
  local all = redis.call('HGETALL', windows)
  for i = 1, #all, 2 do
    local over = string.match(all[i + 1], '"end":"([^"]*)"')
    if over and over < oldest then
      redis.call('HDEL', windows, all[i])
    end
  end
end

-- Tells everybody, and makes nodes read the windows again. Returns epoch and seq.
local function maintenance_tell(room, log, windows, channel, now_ms, head)
  local tail = ',"windows":[' .. table.concat(redis.call('HVALS', windows), ',') .. ']}'
  local epoch, seq = event_append(room, log, channel, now_ms, head, tail)
  redis.call('HINCRBY', room, 'revision', 1)
  return epoch, seq
end
