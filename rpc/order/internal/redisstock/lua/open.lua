-- Makes a built generation the sale's current one and drops the one before.
--
-- KEYS  meta, build, buyers of the generation, buyers, outbox and transfers of the generation before
-- ARGV  identity, identity at the begin, token, generation, generation before (0 for none),
--       version, phase, starts and ends in ms, limit, stock, remaining
-- Reply {OK}, {STALE}, {CHANGED}, {SUPERSEDED} or {OTHER, generation before}

local fence, token, gen, old = ARGV[1], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
if elsewhere(fence) then
  return {STALE}
end
if fence ~= ARGV[2] then
  return {CHANGED}
end
local m = redis.call('HMGET', KEYS[1], 'gen', 'build')
local current = tonumber(m[1] or 0)
if current == gen and m[2] == token then
  return {OK} -- a second arrival of the same call: what was sold since stays sold
end
if current >= gen then
  return {SUPERSEDED}
end
local b = redis.call('HMGET', KEYS[2], 'token', 'users')
if b[1] ~= token or tonumber(b[2]) ~= redis.call('HLEN', KEYS[3]) then
  return {CHANGED}
end
if current ~= old then
  return {OTHER, current}
end
-- The field lease stays: whoever has one on the generation before may still answer by it.
redis.call('HSET', KEYS[1], 'gen', ARGV[4], 'build', token, 'fence', fence, 'version', ARGV[6], 'phase', ARGV[7],
  'starts', ARGV[8], 'ends', ARGV[9], 'limit', ARGV[10], 'stock', ARGV[11], 'remaining', ARGV[12],
  'seq', '0', 'changes', '0')
redis.call('HDEL', KEYS[1], 'closed')
redis.call('PERSIST', KEYS[3])
redis.call('UNLINK', KEYS[2])
if old > 0 then
  redis.call('UNLINK', KEYS[4], KEYS[5], KEYS[6])
end
return {OK}
