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

-- Records are read once and kept up to date here, so that a user who is in the batch twice is seen. They are not
-- parsed: tables and strings of each order of a buyer who has many cost more than the rest of a ticket's decision.
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

-- The order with this key hash: its generation, sequence and quantity; nil if there is none. Only what holds ends
-- before a semicolon, so that no quantity is taken for a hash.
local function order_of(record, hash)
  if record == '' then
    return nil -- most buyers are new: no strings are made for them
  end
  local at = string.find(record, ':' .. hash .. ':1;', 1, true) or string.find(record, ':' .. hash .. ':0;', 1, true)
  if not at then
    return nil
  end
  local g, seq, qty = string.match(string.sub(record, math.max(1, at - 64), at - 1), '(%d+)%-(%d+):(%d+)$')
  return tonumber(g), tonumber(seq), tonumber(qty)
end

-- The units that a buyer's orders hold.
local function held_by(record)
  local held = 0
  if record == '' then
    return held
  end
  for qty in string.gmatch(record, ':(%d+):[^:]+:1;') do
    held = held + tonumber(qty)
  end
  return held
end

local function packed(g, seq)
  return g * 67108864 + seq
end

-- The newest order that holds units, or 0.
local function newest_of(record)
  local newest = 0
  for g, seq in string.gmatch(record, '(%d+)%-(%d+):%d+:[^:]+:1;') do
    newest = math.max(newest, packed(tonumber(g), tonumber(seq)))
  end
  return newest
end

-- Tells whether the outbox entry that holds the order still stands. Orders of older generations
-- were published before this one was opened.
local function unpublished(g, seq)
  if g ~= gen then
    return false
  end
  local at = (seq - bucket) / buckets
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
  local record = records[user]
  local decision, order = nil, 0
  local kept_gen, kept_seq, kept_qty = order_of(record, hash)
  if kept_gen then
    -- The same key keeps its order, whatever the sale is now.
    if kept_qty ~= qty then
      decision = REUSED
    else
      decision = unpublished(kept_gen, kept_seq) and UNPUBLISHED or EXISTING
      order = packed(kept_gen, kept_seq)
    end
  elseif refusal then
    decision = refusal
  elseif held_by(record) + qty > limit then
    decision = LIMIT
    order = newest_of(record)
  elseif leased or remaining < qty then
    decision = SOLD_OUT
  elseif n >= max_n then
    decision = FULL
  else
    n = n + 1
    remaining = remaining - qty
    local seq = n * buckets + bucket
    -- A sequence is below 2^26, for which %d, many times cheaper than %.0f, is right on every server.
    records[user] = record_with(record, ARGV[2], string.format('%d', seq), ARGV[i + 2], hash, '1')
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
