-- Reads one buyer's record in the current generation.
--
-- KEYS  meta, buyers of the generation
-- ARGV  identity (not used), generation, user
-- Reply {OK, record or ""}, {NONE} when not built, or {OTHER, generation}

local gen = redis.call('HGET', KEYS[1], 'gen')
if not gen then
  return {NONE}
end
if gen ~= ARGV[2] then
  return {OTHER, tonumber(gen)}
end
return {OK, redis.call('HGET', KEYS[2], ARGV[3]) or ''}
