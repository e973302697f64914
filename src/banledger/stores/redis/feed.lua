-- Move members to the end of a feed, in their order, and remove what is too old.
--
-- KEYS[1]  the feed: a sorted set whose scores are whole numbers that only grow
-- ARGV[1]  MessagePack: {{member, …}, how many of the last numbers are kept}
--
-- A feed with scores that no script writes is removed, and begins again.

local call = redis.call
local members, kept = unpack(cmsgpack.unpack(ARGV[1]))
local there = call('TYPE', KEYS[1]).ok
if there ~= 'none' and there ~= 'zset' then
  return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' holds a ' .. there .. ', not a zset')
end
local last = tonumber(call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2] or 0)

if not (last >= 0 and last < 2 ^ 53) then
  call('DEL', KEYS[1])
  last = 0
end
last = math.floor(last)
local moves = {}
for at, member in ipairs(members) do
  moves[2 * at - 1], moves[2 * at] = string.format('%.0f', last + at), member
end
call('ZADD', KEYS[1], unpack(moves))
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', last + #members - kept))
