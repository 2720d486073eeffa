-- Tells whether nothing remains in a bucket of a sale that sells, and gives a lease on that: while it lasts
-- reserve.lua sells nothing, so that others may answer "sold out" without asking. Units that come back
-- meanwhile wait, and no new lease is given while there are any. Of several buckets a lease is asked for in the
-- state that all were seen in: if all give it, all were empty at one moment.
--
-- KEYS  meta
-- ARGV  identity, generation and sequence that a lease is asked for, length of the lease in ms (0 for none),
--       changes that it is asked for, or -1 for any
-- Reply {OK, 1 when nothing remains, generation, sequence, length of the lease in ms or 0, limit},
--       {STALE} or {NONE}

local fence, length = ARGV[1], tonumber(ARGV[4])
if elsewhere(fence) then
  return {STALE}
end
local m = redis.call('HMGET', KEYS[1], 'gen', 'fence', 'closed', 'phase', 'starts', 'ends', 'limit', 'remaining', 'seq', 'lease', 'changes')
if not m[1] or m[2] ~= fence or m[3] then
  return {NONE}
end
local t, ends = now(), tonumber(m[6])
local sells = m[4] == 'live' and t >= tonumber(m[5]) and t < ends
local reply = {OK, 0, tonumber(m[1]), tonumber(m[9]), 0, tonumber(m[7])}
if not sells or tonumber(m[8]) > 0 then
  return reply
end
reply[2] = 1
-- The sale's end has an answer of its own, so a lease does not last beyond it.
length = math.min(length, LEASE_MAX, ends - t)
if length > 0 and m[1] == ARGV[2] and m[9] == ARGV[3] and (ARGV[5] == '-1' or m[11] == ARGV[5]) then
  reply[5] = length
  local before = tonumber(m[10] or 0)
  -- One that lasts longer stays; one from beyond every length was written before the clock was set back.
  if before < t + length or before > t + LEASE_MAX then
    redis.call('HSET', KEYS[1], 'lease', int(t + length))
  end
end
return reply
