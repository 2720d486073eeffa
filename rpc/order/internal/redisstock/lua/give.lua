-- Takes units out of a bucket, to be taken by another one, and records it. Of one bucket to another one transfer
-- is open at a time: while it is, it is told again, so that whoever wants units next ends one that was cut off.
--
-- KEYS  meta, transfers of the generation
-- ARGV  identity, generation, number of the other bucket, how many units are wanted, how many must stay
-- Reply {OK, number of the transfer or 0 without one, units}, {STALE}, {NONE} or {OTHER, generation}

local fence, gen, to, want, keep = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local m, refusal = open_bucket(KEYS[1], fence, gen, 'remaining')
if not m then
  return refusal
end
local r = redis.call('HMGET', KEYS[2], 'out:' .. to, 'last:' .. to)
if r[1] then
  local n, units = string.match(r[1], '^(%d+):(%d+)$')
  return {OK, tonumber(n), tonumber(units)}
end
local remaining = tonumber(m[4])
local units = math.min(want, remaining - keep)
if units < 1 then
  return {OK, 0, 0}
end
-- Half of what nobody waits for goes along, so that a bucket that ran dry need not ask for every unit.
units = units + math.floor((remaining - keep - units) / 2)
local n = tonumber(r[2] or 0) + 1
redis.call('HSET', KEYS[2], 'out:' .. to, int(n) .. ':' .. int(units), 'last:' .. to, int(n))
redis.call('HSET', KEYS[1], 'remaining', int(remaining - units))
redis.call('HINCRBY', KEYS[1], 'changes', 1)
return {OK, n, units}
