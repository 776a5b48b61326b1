-- Everything that a list of endpoints shows, as of one moment.
--
-- KEYS
--   room           HASH of `all-endpoints`
--   summaries      HASH
--   open           SET
--   incidents      HASH
--   acknowledged   HASH
--   windows        HASH
--   nodes          HASH
-- ARGV
--   clock          ms, '' = Redis TIME
-- RETURNS
--   {'OK', epoch, seq, now, {summary, …}, {incident, acknowledgement or false, …}, {window, …}, {node, report, …}}
--   {'ROOM_NOT_FOUND'}
--@include clock

local room, summaries, open, incidents, acknowledged = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local windows, nodes = KEYS[6], KEYS[7]
local clock = ARGV[1]

local place = redis.call('HMGET', room, 'epoch', 'seq')
if not place[1] then
  return {'ROOM_NOT_FOUND'}
end
local shown = {}
for _, id in ipairs(redis.call('SMEMBERS', open)) do
  shown[#shown + 1] = redis.call('HGET', incidents, id)
  shown[#shown + 1] = redis.call('HGET', acknowledged, id)
end
return {'OK', place[1], tonumber(place[2]), clock_ms(clock), redis.call('HVALS', summaries), shown,
  redis.call('HVALS', windows), redis.call('HGETALL', nodes)}
