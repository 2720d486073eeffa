-- Put before every script. Status is the first element of every reply.
local OK = 0
local STALE = 1       -- the connection's idea of the server's identity is out of date; nothing was done
local NONE = 2        -- not built, closed, or built on another Redis process; nothing was done
local OTHER = 3       -- the keys name another generation than the current one, which follows
local SUPERSEDED = 4  -- this generation or a newer one is open already
local CHANGED = 5     -- the build that this belongs to is gone

-- Redis passes at most about 8000 values through unpack; 1000 is far from that on every server.
local CHUNK = 1000

-- The longest lease on a sale that is sold out, in ms; see soldout.lua.
local LEASE_MAX = 1000

-- Lua's own formatting turns 1e14 and above into exponents.
local function int(n)
  return string.format('%.0f', n)
end

-- Redis's time in milliseconds.
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- Tells whether the server is no longer the one that the connection saw when it was made: the
-- replication id changes when a server is demoted and promoted again, which leaves connections open.
-- An identity without a colon is that of an embedded server, which has no replication.
local function elsewhere(fence)
  local replid = string.match(fence, ':(%x+)$')
  if not replid then
    return false
  end
  return not string.find(redis.call('INFO', 'replication'), 'master_replid:' .. replid, 1, true)
end

-- The fields gen, fence and closed of a bucket's meta, and those named, where the bucket is open in the generation on
-- this process; otherwise nil, and the reply that says what it is instead.
local function open_bucket(key, fence, gen, ...)
  if elsewhere(fence) then
    return nil, {STALE}
  end
  local m = redis.call('HMGET', key, 'gen', 'fence', 'closed', ...)
  if not m[1] or m[2] ~= fence or m[3] then
    return nil, {NONE}
  end
  if tonumber(m[1]) ~= gen then
    return nil, {OTHER, tonumber(m[1])}
  end
  return m
end

-- HMGET and HSET of any number of fields.
local function hmget(key, fields)
  local out = {}
  for i = 1, #fields, CHUNK do
    local part = redis.call('HMGET', key, unpack(fields, i, math.min(i + CHUNK - 1, #fields)))
    for j = 1, #part do
      out[i + j - 1] = part[j]
    end
  end
  return out
end

local function hset(key, pairs_)
  for i = 1, #pairs_, CHUNK do
    redis.call('HSET', key, unpack(pairs_, i, math.min(i + CHUNK - 1, #pairs_)))
  end
end

-- A buyer's record with one more order: one "generation-sequence:quantity:keyhash:holds;" an order, holds being 1 or 0.
-- It is made in one piece, since Lua keeps and sweeps every string on the way.
local function record_with(record, gen, seq, qty, hash, holds)
  return record .. gen .. '-' .. seq .. ':' .. qty .. ':' .. hash .. ':' .. holds .. ';'
end

local function parse(record)
  local orders = {}
  if record then
    for gen, seq, qty, hash, holds in string.gmatch(record, '(%d+)%-(%d+):(%d+):([^:]+):([01]);') do
      orders[#orders + 1] = {
        gen = tonumber(gen), seq = tonumber(seq), qty = tonumber(qty), hash = hash, holds = holds == '1',
      }
    end
  end
  return orders
end

local function format(orders)
  local parts = {}
  for i, o in ipairs(orders) do
    parts[i] = record_with('', int(o.gen), int(o.seq), int(o.qty), o.hash, o.holds and '1' or '0')
  end
  return table.concat(parts)
end
