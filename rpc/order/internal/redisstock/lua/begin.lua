-- Starts the build of a generation.
--
-- KEYS  meta, build, buyers, outbox and transfers of the generation
-- ARGV  identity, generation, token of this build, time to live in ms
-- Reply {OK}, {STALE} or {SUPERSEDED}

local fence, gen, token, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
if elsewhere(fence) then
  return {STALE}
end
if tonumber(redis.call('HGET', KEYS[1], 'gen') or 0) >= gen then
  return {SUPERSEDED}
end
-- A second arrival of the same call (a lost reply) must not clear what was filled in since.
if redis.call('HGET', KEYS[2], 'token') == token then
  return {OK}
end
redis.call('HSET', KEYS[2], 'token', token, 'users', '0')
redis.call('PEXPIRE', KEYS[2], ttl)
redis.call('UNLINK', KEYS[3], KEYS[4], KEYS[5])
return {OK}
