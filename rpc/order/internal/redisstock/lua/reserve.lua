-- Decides purchase calls of one bucket, in their order, and keeps what it accepted.
--
-- KEYS  meta, buyers of the generation, outbox of the generation
-- ARGV  identity, generation, number of buckets, number of this one, largest n, then per ticket: user, key hash,
--       quantity, trace
-- Reply {OK, time in ms, first n, number accepted, then per ticket: decision, order}
--       where order is generation * 2^26 + sequence, or 0; or {STALE}, {NONE}, {OTHER, generation}
--
-- A bucket counts the orders of a generation, n = 1, 2, ...; the sequence of the n-th is n * buckets + bucket.
--
-- Running it twice with the same key hashes changes nothing the second time.

local ACCEPTED, EXISTING, UNPUBLISHED, REUSED = 1, 2, 3, 4
local NOT_STARTED, ENDED, PAUSED, LIMIT, SOLD_OUT, FULL = 5, 6, 7, 8, 9, 10

local fence, gen = ARGV[1], tonumber(ARGV[2])
local buckets, bucket, max_n = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local FIRST, WIDTH = 6, 4

if elsewhere(fence) then
  return {STALE}
end
local m = redis.call('HMGET', KEYS[1], 'gen', 'fence', 'closed', 'phase', 'starts', 'ends', 'limit', 'remaining', 'seq', 'lease')
if not m[1] or m[2] ~= fence or m[3] then
  return {NONE}
end
if tonumber(m[1]) ~= gen then
  return {OTHER, tonumber(m[1])}
end
local phase, starts, ends = m[4], tonumber(m[5]), tonumber(m[6])
local limit, remaining, before = tonumber(m[7]), tonumber(m[8]), tonumber(m[9])
local n = before
local t = now()

-- While others may answer "sold out" without asking (soldout.lua), nothing is sold, or one buyer would be
-- told that nothing is left and the next, by another gateway, get it. A lease from beyond every length was
-- written before the clock was set back; nobody waits for that.
local lease = tonumber(m[10] or 0)
local leased = t < lease and lease <= t + LEASE_MAX

-- What the phase and the window say to every ticket; nil when the sale sells now. The end comes
-- first: a paused sale that is past its end has ended.
local refusal
if phase == 'ended' or t >= ends then
  refusal = ENDED
elseif phase == 'paused' then
  refusal = PAUSED
elseif phase ~= 'live' or t < starts then
  refusal = NOT_STARTED
end

-- Records are read once and kept up to date here, so that a user who is in the batch twice is seen. A buyer without
-- orders, as most are, gets no tables: to make and to sweep them cost more than the rest of a ticket's decision.
local users, records = {}, {}
for i = FIRST, #ARGV, WIDTH do
  local user = ARGV[i]
  if not records[user] then
    records[user] = ''
    users[#users + 1] = user
  end
end
for i, record in ipairs(hmget(KEYS[2], users)) do
  records[users[i]] = record or ''
end

local NEW = {orders = {}, held = 0} -- never written
local buyers = {}

local function buyer(user)
  local record = records[user]
  if record == '' then
    return NEW
  end
  local b = buyers[user]
  if not b then
    b = {orders = parse(record), held = 0}
    for _, o in ipairs(b.orders) do
      if o.holds then
        b.held = b.held + o.qty
      end
    end
    buyers[user] = b
  end
  return b
end

local function packed(g, seq)
  return g * 67108864 + seq
end

-- Tells whether the outbox entry that holds the order still stands. Orders of older generations
-- were published before this one was opened.
local function unpublished(o)
  if o.gen ~= gen then
    return false
  end
  local at = (o.seq - bucket) / buckets
  if at > before then
    return true
  end
  local entry = redis.call('XREVRANGE', KEYS[3], int(at), '-', 'COUNT', 1)[1]
  if not entry then
    return false
  end
  local first = tonumber(string.match(entry[1], '^%d+'))
  return at < first + tonumber(entry[2][4])
end

local reply = {OK, t, before + 1, 0}
local lines, changed = {}, {}
for i = FIRST, #ARGV, WIDTH do
  local user, hash, qty = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local b = buyer(user)
  local decision, order = nil, 0
  local newest
  for _, o in ipairs(b.orders) do
    if o.hash == hash then
      if o.qty ~= qty then
        decision = REUSED
      else
        decision = unpublished(o) and UNPUBLISHED or EXISTING
        order = packed(o.gen, o.seq)
      end
      break
    end
    if o.holds and (not newest or packed(o.gen, o.seq) > packed(newest.gen, newest.seq)) then
      newest = o
    end
  end
  if decision then
    -- The same key keeps its order, whatever the sale is now.
  elseif refusal then
    decision = refusal
  elseif b.held + qty > limit then
    decision = LIMIT
    order = newest and packed(newest.gen, newest.seq) or 0
  elseif leased or remaining < qty then
    decision = SOLD_OUT
  elseif n >= max_n then
    decision = FULL
  else
    n = n + 1
    remaining = remaining - qty
    local seq = n * buckets + bucket
    if b ~= NEW then
      b.orders[#b.orders + 1] = {gen = gen, seq = seq, qty = qty, hash = hash, holds = true}
      b.held = b.held + qty
    end
    -- A sequence is below 2^26, for which %d, many times cheaper than %.0f, is right on every server.
    records[user] = record_with(records[user], ARGV[2], string.format('%d', seq), ARGV[i + 2], hash, '1')
    changed[user] = true
    lines[#lines + 1] = user .. ' ' .. ARGV[i + 2] .. ' ' .. hash .. ' ' .. ARGV[i + 3]
    decision, order = ACCEPTED, packed(gen, seq)
  end
  reply[#reply + 1] = decision
  reply[#reply + 1] = order
end

if n > before then
  reply[4] = n - before
  -- XADD is the only write that can be refused for what is there (a used id), and Redis refuses a
  -- script for memory, disk or replicas at its first write: so it comes first, and all or nothing
  -- is written.
  redis.call('XADD', KEYS[3], int(before + 1) .. '-0', 't', int(t), 'n', int(n - before), 'd', table.concat(lines, '\n'))
  local written = {}
  for _, user in ipairs(users) do
    if changed[user] then
      written[#written + 1] = user
      written[#written + 1] = records[user]
    end
  end
  hset(KEYS[2], written)
  if before == 0 then
    -- Redis keeps a hash of up to 512 short values as one list (hash-max-listpack-entries), which each buyer who is
    -- new is looked for in from end to end: dear when a sale opens. One longer value makes it a table for good.
    redis.call('HSET', KEYS[2], 'table', string.rep('-', 65))
    redis.call('HDEL', KEYS[2], 'table')
  end
  redis.call('HSET', KEYS[1], 'remaining', int(remaining), 'seq', int(n))
  redis.call('HINCRBY', KEYS[1], 'changes', 1)
end
return reply
