-- Take a lease, unless another holds it.
--
-- KEYS[1]  a hash; its fields `holder` and `until` (UTC epoch seconds) are the lease
-- ARGV[1]  MessagePack: {who asks, the moment, until when}; moments as text
--
-- Returns 1 if it is now held by who asks, else 0.

local call = redis.call
local who, now, until_ = unpack(cmsgpack.unpack(ARGV[1]))
local have = call('HMGET', KEYS[1], 'holder', 'until')

if have[1] and have[1] ~= who and tonumber(now) < tonumber(have[2]) then
  return 0
end
call('HSET', KEYS[1], 'holder', who, 'until', until_)
return 1
