-- Takes or extends a lease.
--
-- KEYS  lease
-- ARGV  identity (not used), owner, time to live in ms
-- Reply {OK, 1 when the owner has it, else 0}

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[2] then
  return {OK, 0}
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return {OK, 1}
