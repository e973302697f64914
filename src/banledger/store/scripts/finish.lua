-- Take finished work out of a slot's outbox, where the hash it was derived from has not changed meanwhile.
--
-- KEYS[1]  the slot's outbox      KEYS[2…]  the hashes, in the order of the entries
-- ARGV[1]  MessagePack: {{field of a hash, …}, {entry, …}}; an entry is the field of the outbox and then either the
--          values of those fields in that order (false: absent), or nothing (there must be no hash)
--
-- Returns the numbers (from 1) of entries whose hash changed; they stay in the outbox.

local call = redis.call
local fields, entries = unpack(cmsgpack.unpack(ARGV[1]))
local changed, done = {}, {}

local function same(key, entry)
  if #entry == 1 then
    return call('EXISTS', key) == 0
  end
  local have = call('HMGET', key, unpack(fields))
  for at = 1, #fields do
    if have[at] ~= entry[at + 1] then
      return false
    end
  end
  return true
end

for number, entry in ipairs(entries) do
  if same(KEYS[number + 1], entry) then
    done[#done + 1] = entry[1]
  else
    changed[#changed + 1] = number
  end
end
if done[1] then
  call('HDEL', KEYS[1], unpack(done))
end

return changed
