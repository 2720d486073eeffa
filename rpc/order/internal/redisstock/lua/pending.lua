-- Reads the oldest outbox entries. It asks no identity: what survived a lost Redis is read with it.
--
-- KEYS  outbox of a generation
-- ARGV  identity (not used), least age in ms, how many
-- Reply {OK, then per entry: id, time in ms, orders}

local least, t = tonumber(ARGV[2]), now()
local reply = {OK}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[3])) do
  local age = t - tonumber(entry[2][2])
  -- An entry from the future was written before the clock was set back: its age is not known, so it
  -- counts as old rather than wait for the clock.
  if age >= least or age < 0 then
    reply[#reply + 1] = entry[1]
    reply[#reply + 1] = entry[2][2]
    reply[#reply + 1] = entry[2][6]
  end
end
return reply
