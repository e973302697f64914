-- Apply changes of one month's slot: all of them if every hash is as guarded, otherwise none.
--
-- KEYS     every key that a change touches; all in one slot
-- ARGV[1]  MessagePack: {{change, …}, entry, what they do together, what each key holds ("" for the hashes of changes)}
--          a change: { number of the hash's key,
--                      guard: false (there must be no hash) or {field = value, or false for a field it must not have},
--                      {field, value, …} to set,  {field, …} to drop,  whether all other fields go }
--          entry:    { number of the slot's outbox, its field ("writer:number"), value }: the work to do in other
--                      slots, kept until it is done. Empty value: no work. No entry: only hashes change
--          together: { {set = {members that join}},  {set = {members that leave}},
--                      {sorted set = {score, member, …}},  {sorted set = {members that go}},
--                      {tally = {member = how many more or fewer}} }     (keys by their number)
--
-- An entry of another writer in the outbox may concern a hash that changes here, so it is marked by a field `…:doubt`.
-- Of a hash whose fields go, what must follow from that entry could not be told any more: such a change waits for it.
--
-- Returns the changes whose hash was not as guarded, or that must wait, as {number from 1, {field, value, …} of the
-- hash, 1 if it must wait, otherwise 0}; then nothing was written. Empty: all changes were applied. Everything that could fail is tried before the first write, because a
-- script that fails halfway is not undone.

local call = redis.call
local changes, entry, together, kinds = unpack(cmsgpack.unpack(ARGV[1]))
local outbox, token, work = KEYS[entry[1]], entry[2], entry[3]

for number, kind in ipairs(kinds) do
  if kind ~= '' then
    local there = call('TYPE', KEYS[number]).ok
    if there ~= 'none' and there ~= kind then
      return redis.error_reply('WRONGTYPE ' .. KEYS[number] .. ' holds a ' .. there .. ', not a ' .. kind)
    end
  end
end

local function holds(key, guard)
  local exists = call('EXISTS', key) == 1
  if guard == false or not exists then
    return guard == false and not exists
  end
  for name, value in pairs(guard) do
    if redis.pcall('HGET', key, name) ~= value then
      return false
    end
  end
  return true
end

-- A hash as it is; of a key that holds something else one text that says so.
local function hash_at(key)
  local there = redis.pcall('HGETALL', key)
  return there.err and { 'holds no hash' } or there
end

-- The entries of other writers in the outbox: field = value. Read once.
local known
local function others()
  if known then
    return known
  end
  known = {}
  local own, there = outbox and token:match('^[^:]*:'), outbox and call('HGETALL', outbox) or {}
  for at = 1, #there, 2 do
    if there[at]:sub(1, #own) ~= own and there[at + 1] ~= '' then
      known[there[at]] = there[at + 1]
    end
  end
  return known
end

-- Whether an entry of another writer is about that hash.
local function is_busy(key)
  for _, value in pairs(others()) do
    if value:find('["' .. key .. '"', 1, true) then
      return true
    end
  end
  return false
end

-- Whether all write commands are allowed. They are tried on the outbox: it is a hash by then, so they change nothing.
local function refused()
  for _, command in ipairs({ 'SADD', 'SREM', 'ZADD', 'ZREM', 'ZINCRBY' }) do
    local said = redis.pcall(command, outbox, 0, 0).err
    if not said:find('WRONGTYPE', 1, true) then
      return redis.error_reply(said .. " ('" .. command:lower() .. "' command)")
    end
  end
end

local conflicts, guarded = {}, false
for number, change in ipairs(changes) do
  local key = KEYS[change[1]]
  guarded = guarded or change[2]
  if not holds(key, change[2]) then
    conflicts[#conflicts + 1] = { number, hash_at(key), 0 }
  elseif change[5] and is_busy(key) then
    conflicts[#conflicts + 1] = { number, hash_at(key), 1 }
  end
end
if conflicts[1] then
  return conflicts
end

if outbox then
  call('DEL', outbox .. ':never')
  call('HDEL', outbox, '')
  call('HSET', outbox, token, work)
  local refusal = refused()
  if refusal or work == '' then
    call('HDEL', outbox, token)
  end
  if refusal then
    return refusal
  end
end

for _, change in ipairs(changes) do
  local key, set, drop = KEYS[change[1]], change[3], change[4]
  if change[5] then
    call('DEL', key)
  end
  if set[1] then
    call('HSET', key, unpack(set))
  end
  if drop[1] then
    call('HDEL', key, unpack(drop))
  end
end

if guarded and outbox and work ~= '' then
  for field in pairs(others()) do
    call('HSET', outbox, field .. ':doubt', '')
  end
end
local joins, leaves, scores, unscored, tallies = unpack(together)
for key, members in pairs(joins) do
  call('SADD', KEYS[key], unpack(members))
end
for key, members in pairs(leaves) do
  call('SREM', KEYS[key], unpack(members))
end
for key, pairs_ in pairs(scores) do
  call('ZADD', KEYS[key], unpack(pairs_))
end
for key, members in pairs(unscored) do
  call('ZREM', KEYS[key], unpack(members))
end
for key, counts in pairs(tallies) do
  for member, count in pairs(counts) do
    if count ~= 0 and call('ZINCRBY', KEYS[key], count, member) == '0' then
      call('ZREM', KEYS[key], member)
    end
  end
end

return conflicts
