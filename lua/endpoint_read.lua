-- One endpoint as it is, with the fence that a change of it must name.
--
-- KEYS
--   room           HASH of `endpoint:<id>`
--   endpoints      HASH
--   states         HASH
--   fences         HASH
--   due            ZSET
--   claims         HASH
--   acknowledged   HASH
--   results        STREAM
-- ARGV
--   clock          ms, '' = Redis TIME
--   id             endpoint id
--   incident       its open incident, '' = unknown: the acknowledgement of this one is read
--   limit          results
-- RETURNS
--   {'OK', epoch, seq, now, fence, definition, state, due or false, acknowledgement or false, {{id, {field, value, …}}, …}}
--   newest result first; {'ENDPOINT_NOT_FOUND'}
--@include clock
--@include event_append
--@include history
--@include event_append
--@include history

local room, endpoints, states, fences, due = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local claims, acknowledged, results = KEYS[6], KEYS[7], KEYS[8]
local clock, id, incident, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local place = redis.call('HMGET', room, 'epoch', 'seq')
local definition = redis.call('HGET', endpoints, id)
if not place[1] or not definition then
  return {'ENDPOINT_NOT_FOUND'}
end
-- What is being checked is due when its lease ends; what is asked for is its slot.
local claim = redis.call('HGET', claims, id)
local due_ms = claim and string.match(claim, '^(%d+) ') or redis.call('ZSCORE', due, id)
return {'OK', place[1], tonumber(place[2]), clock_ms(clock), redis.call('HGET', fences, id), definition,
  redis.call('HGET', states, id), due_ms, incident ~= '' and redis.call('HGET', acknowledged, incident) or false,
  history_newest(results, limit)}
