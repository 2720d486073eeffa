-- Brings newer terms to a built sale.
--
-- KEYS  meta
-- ARGV  identity, version, phase, starts and ends in ms, limit, stock
-- Reply {OK} whether or not the terms were news, {STALE} or {NONE}

local fence = ARGV[1]
if elsewhere(fence) then
  return {STALE}
end
local m = redis.call('HMGET', KEYS[1], 'gen', 'fence', 'closed', 'version', 'stock', 'remaining')
if not m[1] or m[2] ~= fence or m[3] then
  return {NONE}
end
if tonumber(m[4]) >= tonumber(ARGV[2]) then
  return {OK}
end
local stock = tonumber(ARGV[7])
-- Stock is only ever raised. Should it fall below what is sold, nothing remains; the guard in MySQL
-- has the last word then.
local remaining = math.max(0, tonumber(m[6]) + stock - tonumber(m[5]))
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'phase', ARGV[3], 'starts', ARGV[4], 'ends', ARGV[5],
  'limit', ARGV[6], 'stock', int(stock), 'remaining', int(remaining))
redis.call('HINCRBY', KEYS[1], 'changes', 1)
return {OK}
