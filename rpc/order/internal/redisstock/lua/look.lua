-- Reads at one moment what a bucket has to sell, and its transfers.
--
-- KEYS  meta, transfers of the generation
-- ARGV  identity, generation
-- Reply {OK, 1 when phase and window let it sell, remaining, sequence, changes, limit, ms that the lease still lasts
--       or 0, then the fields and values of transfers}, {STALE}, {NONE} or {OTHER, generation}

local fence, gen = ARGV[1], tonumber(ARGV[2])
if elsewhere(fence) then
  return {STALE}
end
local m = redis.call('HMGET', KEYS[1], 'gen', 'fence', 'closed', 'phase', 'starts', 'ends', 'limit', 'remaining', 'seq',
  'changes', 'lease')
if not m[1] or m[2] ~= fence or m[3] then
  return {NONE}
end
if tonumber(m[1]) ~= gen then
  return {OTHER, tonumber(m[1])}
end
local t = now()
local sells = m[4] == 'live' and t >= tonumber(m[5]) and t < tonumber(m[6])
local leased = tonumber(m[11] or 0) - t
if leased < 0 or leased > LEASE_MAX then -- the latter as in reserve.lua
  leased = 0
end
local reply = {OK, sells and 1 or 0, tonumber(m[8]), tonumber(m[9]), tonumber(m[10]), tonumber(m[7]), leased}
for _, v in ipairs(redis.call('HGETALL', KEYS[2])) do
  reply[#reply + 1] = v
end
return reply
