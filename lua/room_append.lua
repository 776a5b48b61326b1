-- Appends an event to a room: member check → dedupe → seq + 1 → XADD → PUBLISH.
--
-- KEYS
--   room        HASH
--   members     SET
--   log         STREAM
--   messages    STREAM
--   dedupe      STRING, untouched when dedupe_ms is 0
-- ARGV
--   clock       ms, '' = Redis TIME
--   channel     where the event is published
--   member      user id that must be a member, '' = nobody must
--   dedupe_ms   ms for which the answer is remembered, 0 = the command has no id
--   history     1: the event belongs to the room's history, 0: it does not
--   head        the event's JSON before the timestamp
--   tail        the event's JSON behind it
-- RETURNS
--   {'OK', epoch, seq} | {'DUPLICATE', epoch, seq} | {'ROOM_NOT_FOUND'} | {'NOT_A_MEMBER'}
-- EVENTS
--   the event
--@include clock
--@include event_append

local room, members, log, messages, dedupe = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local clock, channel, member, dedupe_ms, history = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local head, tail = ARGV[6], ARGV[7]

-- Whether an event is in this log, or was and has been trimmed. One of another epoch was lost if the room was opened
-- anew since (an answer of then would be a lie), and is still there if the log was only given a new epoch.
local function stands(room, log, epoch, seq)
  if redis.call('HGET', room, 'epoch') == epoch then
    return true
  end
  local entry = redis.call('XRANGE', log, seq .. '-0', seq .. '-0')[1]
  local head = '{"seq":' .. seq .. ',"epoch":"' .. epoch .. '"'
  return entry ~= nil and string.sub(entry[2][2], 1, #head) == head
end

if redis.call('EXISTS', room) == 0 then
  return {'ROOM_NOT_FOUND'}
end
if member ~= '' and redis.call('SISMEMBER', members, member) == 0 then
  return {'NOT_A_MEMBER'}
end
if dedupe_ms ~= '0' then
  local answered = redis.call('GET', dedupe)
  if answered then
    local epoch, seq = string.match(answered, '^(.*):(%d+)$')
    if stands(room, log, epoch, seq) then
      return {'DUPLICATE', epoch, tonumber(seq)}
    end
  end
end

local epoch, seq, retention = event_append(room, log, channel, clock_ms(clock), head, tail)
if history == '1' then
  redis.call('XADD', messages, 'MAXLEN', '~', retention, seq .. '-0', '', '')
  expire_with_room(room, messages)
end
if dedupe_ms ~= '0' then
  redis.call('SET', dedupe, epoch .. ':' .. seq, 'PX', dedupe_ms)
end
return {'OK', epoch, seq}
