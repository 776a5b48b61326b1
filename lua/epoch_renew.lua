-- Gives a room a new epoch because its log went back in time (a Redis that restarted from an older copy): positions
-- that clients remember would name other events. The log itself stays and seq goes on from where it stands.
-- Does nothing when somebody else has done it already.
--
-- KEYS
--   room       HASH
-- ARGV
--   old_epoch  the epoch that is no longer to be trusted
--   new_epoch  the one to take its place
-- RETURNS
--   {'OK', epoch that is in force} | {'ROOM_NOT_FOUND'}

local room = KEYS[1]
local old_epoch, new_epoch = ARGV[1], ARGV[2]

local epoch = redis.call('HGET', room, 'epoch')
if not epoch then
  return {'ROOM_NOT_FOUND'}
end
if epoch == old_epoch then
  redis.call('HSET', room, 'epoch', new_epoch)
  epoch = new_epoch
end
return {'OK', epoch}
