-- Forgets a transfer that the other bucket has taken.
--
-- KEYS  meta, transfers of the generation
-- ARGV  identity, generation, number of the other bucket, number of the transfer
-- Reply {OK}, {STALE}, {NONE} or {OTHER, generation}

local fence, gen, to, n = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
if elsewhere(fence) then
  return {STALE}
end
local m = redis.call('HMGET', KEYS[1], 'gen', 'fence', 'closed')
if not m[1] or m[2] ~= fence or m[3] then
  return {NONE}
end
if tonumber(m[1]) ~= gen then
  return {OTHER, tonumber(m[1])}
end
local open = redis.call('HGET', KEYS[2], 'out:' .. to)
if open and string.match(open, '^%d+') == n then
  redis.call('HDEL', KEYS[2], 'out:' .. to)
end
return {OK}
