-- Writes orders into a generation that is being built. Orders that are there already are left, so
-- it may run twice.
--
-- KEYS  build, buyers of the generation
-- ARGV  identity, identity at the begin, token, time to live in ms,
--       then per order: user, generation, sequence, quantity, key hash, holds (1 or 0)
-- Reply {OK}, {STALE} or {CHANGED}

local fence = ARGV[1]
local FIRST, WIDTH = 5, 6

if elsewhere(fence) then
  return {STALE}
end
if fence ~= ARGV[2] or redis.call('HGET', KEYS[1], 'token') ~= ARGV[3] then
  return {CHANGED}
end

local users, buyers = {}, {}
for i = FIRST, #ARGV, WIDTH do
  local user = ARGV[i]
  if not buyers[user] then
    buyers[user] = {}
    users[#users + 1] = user
  end
end
for i, record in ipairs(hmget(KEYS[2], users)) do
  local b = buyers[users[i]]
  b.text = record or ''
  b.seen = {}
  for _, o in ipairs(parse(record)) do
    b.seen[int(o.gen) .. '-' .. int(o.seq)] = true
  end
end

local changed = {}
for i = FIRST, #ARGV, WIDTH do
  local user, gen, seq = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local b = buyers[user]
  if not b.seen[gen .. '-' .. seq] then
    b.seen[gen .. '-' .. seq] = true
    b.text = record_with(b.text, gen, seq, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
    b.changed = true
  end
end
for _, user in ipairs(users) do
  if buyers[user].changed then
    changed[#changed + 1] = user
    changed[#changed + 1] = buyers[user].text
  end
end
hset(KEYS[2], changed)
-- Open compares this with what is there, so that lost keys are noticed.
redis.call('HSET', KEYS[1], 'users', redis.call('HLEN', KEYS[2]))
-- A build that is given up leaves nothing behind.
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return {OK}
