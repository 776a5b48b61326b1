-- The clock of all scripts: Redis TIME in ms, or the time a test passes. No node's clock ever becomes a score.
local function clock_ms(given)
  if given ~= '' then
    return tonumber(given)
  end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
