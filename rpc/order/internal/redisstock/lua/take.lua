-- Puts the units of another bucket's transfer into this one, once.
--
-- KEYS  meta, transfers of the generation
-- ARGV  identity, generation, number of the other bucket, number of the transfer, units
-- Reply {OK, 1 when they were taken now, 0 when they had been before}, {STALE}, {NONE} or {OTHER, generation}

local fence, gen, from, n = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local open, refusal = open_bucket(KEYS[1], fence, gen)
if not open then
  return refusal
end
if n <= tonumber(redis.call('HGET', KEYS[2], 'in:' .. from) or 0) then
  return {OK, 0}
end
redis.call('HSET', KEYS[2], 'in:' .. from, int(n))
redis.call('HINCRBY', KEYS[1], 'remaining', ARGV[5])
redis.call('HINCRBY', KEYS[1], 'changes', 1)
return {OK, 1}
