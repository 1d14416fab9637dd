"""The scripts about what the nodes share. All times are those of the server, so the clocks of the nodes do not matter.

They read the clock before they write; the server replicates the effects, not the scripts.
"""

from typing import Final

from router.journal.redis.scripts import Script

# A stamp from the future, by more than the bound, is from a server whose clock was ahead: it says nothing about now. Nodes that
# were silent for long are removed, so that the hash stays small.
ANNOUNCE: Final = Script.of(
    """#!lua flags=allow-oom
-- KEYS 1 nodes   ARGV 1 bound in ms 2 greatest number of nodes 3 node id, or none 4 what it says of itself
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local bound = tonumber(ARGV[1])
if ARGV[3] then
  if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[2]) and not redis.call('HGET', KEYS[1], ARGV[3]) then
    return redis.error_reply('ERR as many nodes as a store may have')
  end
  redis.call('HSET', KEYS[1], ARGV[3], string.format('%.0f', now) .. ' ' .. ARGV[4])
end
local all = redis.call('HGETALL', KEYS[1])
local live = {}
for i = 1, #all, 2 do
  local at, text = string.match(all[i + 1], '^(%d+) (.*)$')
  local age = at and now - tonumber(at) or 100 * bound
  if math.abs(age) >= 10 * bound then
    redis.call('HDEL', KEYS[1], all[i])
  elseif math.abs(age) < bound then
    live[#live + 1] = text
    live[#live + 1] = string.format('%.0f', math.max(0, age))
  end
end
return live
"""
)

LEAVE: Final = Script.of(
    """#!lua flags=allow-oom
-- KEYS 1 nodes   ARGV 1 node id 2 run
local found = redis.call('HGET', KEYS[1], ARGV[1])
if found and string.find(found, '"run":"' .. ARGV[2] .. '"', 1, true) then redis.call('HDEL', KEYS[1], ARGV[1]) end
return {'OK'}
"""
)

# All unused tickets of one credential are in one hash: digest -> end of the lifetime, what the ticket stands for.
ISSUE_TICKET: Final = Script.of(
    """#!lua
-- KEYS 1 tickets of a credential   ARGV 1 digest 2 what it stands for 3 lifetime in ms 4 greatest number of tickets
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all = redis.call('HGETALL', KEYS[1])
local count, first = 0, nil
for i = 1, #all, 2 do
  local ends = tonumber(string.match(all[i + 1], '^(%d+) '))
  if not ends or ends <= now then
    redis.call('HDEL', KEYS[1], all[i])
  else
    count = count + 1
    first = math.min(first or ends, ends)
  end
end
if count >= tonumber(ARGV[4]) then return {'FULL', string.format('%.0f', first - now)} end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now + tonumber(ARGV[3])) .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'OK'}
"""
)

# Removed first, returned then: the second one finds none.
REDEEM_TICKET: Final = Script.of(
    """#!lua flags=allow-oom
-- KEYS 1 tickets of a credential   ARGV 1 digest
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('HGET', KEYS[1], ARGV[1])
if not found then return false end
redis.call('HDEL', KEYS[1], ARGV[1])
local place = string.find(found, ' ', 1, true)
if tonumber(string.sub(found, 1, place - 1)) <= now then return false end
return string.sub(found, place + 1)
"""
)

# A token bucket that may be in debt: nodes tell what they have taken already.
TAKE_TOKENS: Final = Script.of(
    """#!lua flags=allow-oom
-- KEYS 1 bucket   ARGV 1 tokens for each ms 2 tokens of a full bucket 3 tokens taken 4 greatest debt
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local found = redis.call('HMGET', KEYS[1], 'level', 'at')
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local level = burst
if found[1] and found[2] then
  level = math.min(burst, tonumber(found[1]) + math.max(0, now - tonumber(found[2])) * rate)
end
level = math.max(level - tonumber(ARGV[3]), -tonumber(ARGV[4]))
local text = string.format('%.4f', level)
redis.call('HSET', KEYS[1], 'level', text, 'at', string.format('%.3f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - level) / rate) + 1000)
return text
"""
)

# Replaces a value that is as the sender knows it; answers with what is there then.
SWAP: Final = Script.of(
    """#!lua
-- KEYS 1 hash   ARGV 1 field 2 value expected, empty: none 3 new value
local found = redis.call('HGET', KEYS[1], ARGV[1])
if (found or '') ~= ARGV[2] then return found end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return ARGV[3]
"""
)

SHARED_SCRIPTS: Final = (ANNOUNCE, LEAVE, ISSUE_TICKET, REDEEM_TICKET, TAKE_TOKENS, SWAP)
