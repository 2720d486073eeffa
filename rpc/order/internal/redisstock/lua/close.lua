-- Closes the current generation: from here on no script accepts or changes anything in it. It asks
-- no identity, since closing is right on every process.
--
-- KEYS  meta
-- ARGV  identity (not used)
-- Reply {OK}

if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'closed', '1')
end
return {OK}
