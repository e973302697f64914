-- Remove finished work from a slot's outbox, unless a hash that it was derived from has changed meanwhile.
--
-- KEYS[1]  the slot's outbox      KEYS[2…]  the hashes in question, in the order of their states
-- ARGV[1]  MessagePack: {field of the outbox, {field of a hash, …}, {state, …}}; a state is the values of those
--          fields in that order (nil: absent), or false (there must be no hash). No states: false
--
-- Without states it only checks whether another writer may have changed hashes meanwhile: apply.lua then sets a mark in
-- the outbox while the entry exists. (A recorder settles all entries when it starts.)
-- Returns 0 if the entry is removed; 1 if the states are needed; or the numbers (from 1) of the hashes that changed:
-- then the entry stays.

local call = redis.call
local entry, fields, states = unpack(cmsgpack.unpack(ARGV[1]))
local doubt = entry .. ':doubt'

local function same(key, state)
  if not state then
    return call('EXISTS', key) == 0
  end
  for at, field in ipairs(fields) do
    if redis.pcall('HGET', key, field) ~= (state[at] or false) then
      return false
    end
  end
  return true
end

if not states and (call('HGET', KEYS[1], doubt) or not call('HGET', KEYS[1], entry)) then
  return 1
end
local changed = {}
for number, state in ipairs(states or {}) do
  if not same(KEYS[number + 1], state) then
    changed[#changed + 1] = number
  end
end
if changed[1] then
  return changed
end
call('HDEL', KEYS[1], entry, doubt)
return 0
