-- Forgets a transfer that the other bucket has taken.
--
-- KEYS  meta, transfers of the generation
-- ARGV  identity, generation, number of the other bucket, number of the transfer
-- Reply {OK}, {STALE}, {NONE} or {OTHER, generation}

local fence, gen, to, n = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local open, refusal = open_bucket(KEYS[1], fence, gen)
if not open then
  return refusal
end
local transfer = redis.call('HGET', KEYS[2], 'out:' .. to)
if transfer and string.match(transfer, '^%d+') == n then
  redis.call('HDEL', KEYS[2], 'out:' .. to)
end
return {OK}
