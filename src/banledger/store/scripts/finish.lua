-- Take finished work out of a slot's outbox, where no hash that it was derived from has changed meanwhile.
--
-- KEYS[1]  the slot's outbox      KEYS[2…]  the hashes that the entry is about, or those of them that were in doubt
-- ARGV[1]  MessagePack: {{field of a hash, …}, field of the outbox, {state, …}}; a state is the values of those
--          fields in that order (nil: absent), or false (there must be no hash); in the order of the hashes
--
-- Returns the numbers (from 1) of hashes that changed; if there are any, the entry stays in the outbox.

local call = redis.call
local fields, entry, states = unpack(cmsgpack.unpack(ARGV[1]))
local changed = {}

local function same(key, state)
  if not state then
    return call('EXISTS', key) == 0
  end
  local have = call('HMGET', key, unpack(fields))
  for at = 1, #fields do
    if have[at] ~= (state[at] or false) then
      return false
    end
  end
  return true
end

for number, state in ipairs(states) do
  if not same(KEYS[number + 1], state) then
    changed[#changed + 1] = number
  end
end
if not changed[1] then
  call('HDEL', KEYS[1], entry)
end

return changed
