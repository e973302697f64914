-- Compare and set fields of a hash.
--
-- KEYS[1]  the hash
-- ARGV[1]  MessagePack: {field, {value ...}, {name, value ...}, {name, value ...}}; all text. If the field has one of the
--          values (empty text: or is absent), the hash gets the first list of fields, else the second.
--
-- Returns the hash as it was before: field, value, field, value ...

local call = redis.call
local field, among, fields, otherwise = unpack(cmsgpack.unpack(ARGV[1]))
local before = call('HGETALL', KEYS[1])
local value = call('HGET', KEYS[1], field) or ''

local change = otherwise
for _, one in ipairs(among) do
  if one == value then
    change = fields
  end
end
if #change > 0 then
  call('HSET', KEYS[1], unpack(change))
end
return before
