-- Take a lease, unless another holds it. No clock is read here: those of recorders may differ by years.
--
-- KEYS[1]  a hash; its fields `holder` and `until` (UTC epoch seconds, by the holder's clock) are the lease
-- ARGV[1]  MessagePack: {holder, until, seen holder, seen until}; all text. It is taken from another only if it is
--          still exactly what was seen; an empty seen holder: never
--
-- Returns {holder, until} as they are then.

local call = redis.call
local who, until_, seen_who, seen_until = unpack(cmsgpack.unpack(ARGV[1]))
local have = call('HMGET', KEYS[1], 'holder', 'until')
local holder, ends = have[1] or '', have[2] or ''

local free = holder == '' or (tonumber(ends) or 0) == 0
if free or holder == who or (holder == seen_who and ends == seen_until) then
  call('HSET', KEYS[1], 'holder', who, 'until', until_)
  return {who, until_}
end
return {holder, ends}
