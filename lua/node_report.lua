-- Notes how a node does, for the built-in endpoints; what nodes said that have been gone for long is forgotten.
--
-- KEYS
--   nodes        HASH of `all-endpoints`
-- ARGV
--   clock        ms, '' = Redis TIME
--   node         node id, '' = whoever asks only looks
--   report       JSON, '' = the node stops and is not missed
--   kept_ms      ms after which a silent node is forgotten
-- RETURNS
--   {'OK', now, {node, `<ms of the report> <report>`, …}}
--@include clock

local nodes = KEYS[1]
local clock, node, report, kept_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local now_ms = clock_ms(clock)
if node == '' then
  kept_ms = math.huge -- only looks
elseif report == '' then
  redis.call('HDEL', nodes, node)
else
  redis.call('HSET', nodes, node, string.format('%d', now_ms) .. ' ' .. report)
end
local known = redis.call('HGETALL', nodes)
for i = 1, #known, 2 do
  if now_ms - string.match(known[i + 1], '^(%d+) ') > kept_ms then
    redis.call('HDEL', nodes, known[i])
  end
end
return {'OK', now_ms, known}
