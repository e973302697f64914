-- Remove finished work from a slot's outbox, unless a hash that it was derived from has changed meanwhile.
--
-- KEYS[1]  the slot's outbox      KEYS[2…]  the hashes in question, in the order of their states
-- ARGV[1]  MessagePack: {field of the outbox, {field of a hash, …}, {state, …}}; a state is the values of those
--          fields in that order (nil: absent), or false (there must be no hash). No states: false
--
-- Without states it only looks whether another writer may have changed hashes meanwhile: apply.lua says so in the
-- outbox, as long as the entry is there (who starts settles all entries).
-- Returns 0 if the entry is gone; 1 if the states are needed; or the hashes that changed, as {number from 1, {value of
-- each field now (nil: absent)}}: then the entry stays.

local call = redis.call
local entry, fields, states = unpack(cmsgpack.unpack(ARGV[1]))
local doubt = entry .. ':doubt'

local function state_of(key)
  local values = {}
  for at, field in ipairs(fields) do
    local value = redis.pcall('HGET', key, field)
    values[at] = type(value) == 'table' and value.err or value
  end
  return values
end

local function same(key, state, now)
  if not state then
    return call('EXISTS', key) == 0
  end
  for at in ipairs(fields) do
    if now[at] ~= (state[at] or false) then
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
  local now = state_of(KEYS[number + 1])
  if not same(KEYS[number + 1], state, now) then
    changed[#changed + 1] = { number, now }
  end
end
if changed[1] then
  return changed
end
call('HDEL', KEYS[1], entry, doubt)
return 0
