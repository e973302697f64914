-- Raise fields of one hash whose values begin with a whole number, and remove others.
--
-- KEYS[1]  the hash
-- ARGV[1]  MessagePack: {{field, value, …}, {field to remove, …}}. A field that already has that number, or a higher one,
--          is not changed.

local call = redis.call
local raised, gone = unpack(cmsgpack.unpack(ARGV[1]))

local function number(value)
  return tonumber((value or ''):match('^%d+')) or -1
end

for at = 1, #raised, 2 do
  if number(raised[at + 1]) > number(call('HGET', KEYS[1], raised[at]) or '') then
    call('HSET', KEYS[1], raised[at], raised[at + 1])
  end
end
if gone[1] then
  call('HDEL', KEYS[1], unpack(gone))
end
