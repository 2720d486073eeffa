-- Reads at one moment what a bucket has to sell, and its transfers.
--
-- KEYS  meta, transfers of the generation
-- ARGV  identity, generation
-- Reply {OK, 1 when phase and window let it sell, remaining, sequence, changes, limit, ms that the lease still lasts
--       or 0, then the fields and values of transfers}, {STALE}, {NONE} or {OTHER, generation}

local fence, gen = ARGV[1], tonumber(ARGV[2])
local m, refusal = open_bucket(KEYS[1], fence, gen, 'phase', 'starts', 'ends', 'limit', 'remaining', 'seq',
  'changes', 'lease')
if not m then
  return refusal
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
