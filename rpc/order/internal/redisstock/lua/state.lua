-- Reads a bucket's state at one moment.
--
-- KEYS  meta, outbox of the generation, and its transfers where there are several buckets
-- ARGV  identity, generation
-- Reply {OK, fenced, closed, version, stock, remaining, sequence, changes, outbox entries, age of
--       the oldest in ms, then the fields and values of transfers}, {STALE}, {NONE} when not built, or {OTHER, generation}

local fence, gen = ARGV[1], tonumber(ARGV[2])
if elsewhere(fence) then
  return {STALE}
end
local m = redis.call('HMGET', KEYS[1], 'gen', 'fence', 'closed', 'version', 'stock', 'remaining', 'seq', 'changes')
if not m[1] then
  return {NONE}
end
if tonumber(m[1]) ~= gen then
  return {OTHER, tonumber(m[1])}
end
local age = 0
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
if oldest then
  age = math.max(0, now() - tonumber(oldest[2][2]))
end
local reply = {
  OK, m[2] ~= fence and 1 or 0, m[3] and 1 or 0, tonumber(m[4]), tonumber(m[5]), tonumber(m[6]), tonumber(m[7]),
  tonumber(m[8]), redis.call('XLEN', KEYS[2]), age,
}
if KEYS[3] then
  for _, v in ipairs(redis.call('HGETALL', KEYS[3])) do
    reply[#reply + 1] = v
  end
end
return reply
