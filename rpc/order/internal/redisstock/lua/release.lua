-- Gives the units of ended orders of one sale back, once an order.
--
-- KEYS  meta, buyers of the generation
-- ARGV  identity, generation, then per return: user, generation and sequence of the order, floor
-- Reply {OK, per return: UNSETTLED, SETTLED or MISSING}, {STALE}, {NONE}, {OTHER, generation}

local UNSETTLED, SETTLED, MISSING = 0, 1, 2

local fence, gen = ARGV[1], tonumber(ARGV[2])
local FIRST, WIDTH = 3, 4

if elsewhere(fence) then
  return {STALE}
end
local m = redis.call('HMGET', KEYS[1], 'gen', 'fence', 'closed', 'remaining')
if not m[1] then
  return {NONE}
end
if tonumber(m[1]) ~= gen then
  return {OTHER, tonumber(m[1])}
end
local open = m[2] == fence and not m[3]

local function give_back(user, order_gen, order_seq)
  local orders = parse(redis.call('HGET', KEYS[2], user))
  for _, o in ipairs(orders) do
    if o.gen == order_gen and o.seq == order_seq then
      if o.holds then
        o.holds = false
        redis.call('HSET', KEYS[2], user, format(orders))
        redis.call('HINCRBY', KEYS[1], 'remaining', int(o.qty))
        redis.call('HINCRBY', KEYS[1], 'changes', 1)
      end
      return SETTLED
    end
  end
  return MISSING
end

local reply = {OK}
for i = FIRST, #ARGV, WIDTH do
  local floor = tonumber(ARGV[i + 3])
  local result = UNSETTLED
  if gen > floor then
    -- Built from a MySQL that had the order ended; so is every generation that may follow, which is
    -- why a closed or fenced state settles it too.
    result = SETTLED
  elseif gen == floor and open then
    result = give_back(ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]))
  end
  reply[#reply + 1] = result
end
return reply
