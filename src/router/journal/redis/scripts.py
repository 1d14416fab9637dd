"""The scripts that change a log, executed by the server one after the other.

Each script checks everything before it writes anything, because the server isolates scripts but does not undo the writes of one
that fails. The line ``#!lua`` makes the server refuse a whole script where its memory is full, so no write fails for that reason;
only what a full server still needs is allowed then.

What keeps a second leader out, in layers:

* **compare and set**: an append names the position and the chain value that it continues, so it can only extend the history that
  its sender knows;
* **ids** ``<epoch>-<seq>``: the server refuses an entry whose id is not above the last one, so even a bare ``XADD`` of an older
  epoch fails;
* **epoch and owner**: each take-over has a new epoch and a random owner. The number alone would not do: two servers that both
  believe to be the master can grant the same epoch to two nodes.

Answers are lists whose first element says what happened:

| answer | meaning |
|---|---|
| `OK`, position | done |
| `DUP`, position | this very append has been executed before; its reply was lost |
| `GAP`, position | the log ends elsewhere: the server lost records, or the sender missed some |
| `DIVERGED` | the log ends at the same event with another content |
| `INPOS` | the commands up to the inbound position have had their effect already |
| `FENCED`, epoch, owner | another node has taken over |
| `TORN` | the stream does not end where the head says |
| `LOST` | there is no log, or no head |
| `HELD`, owner, ms | another node holds the lease for that long |
| `BUSY`, number | as many commands wait as may |
"""

from hashlib import sha1
from typing import Final

from msgspec import Struct


class Script(Struct, frozen=True):
    """A script with the digest by which the server knows it."""

    text: str
    digest: str

    @classmethod
    def of(cls, text: str) -> "Script":
        """Return the script with this text."""
        return cls(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


# Position and content that are compared, and the writes that follow. Numbers stay text where they are compared: a number of Lua has
# 53 bits, which seq and epoch never reach, but its text may have an exponent.
APPEND: Final = Script.of(
    """#!lua
-- KEYS 1 meta 2 log
-- ARGV 1 epoch 2 owner 3 seq before 4 chain before 5 seq after 6 chain after 7 inbound before 8 inbound after 9... seq, record, ...
local m = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'seq', 'chain', 'in', 'first')
if not m[1] then return {'LOST'} end
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then return {'FENCED', m[1], m[2]} end
if m[3] == ARGV[5] and m[4] == ARGV[6] and m[5] == ARGV[8] then return {'DUP', m[3]} end
if m[3] ~= ARGV[3] then return {'GAP', m[3]} end
if m[4] ~= ARGV[4] then return {'DIVERGED', m[3]} end
if m[5] ~= ARGV[7] then return {'INPOS', m[5]} end
local tail = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
local last = tail[1] and string.match(tail[1][1], '%-(%d+)$') or string.format('%.0f', tonumber(m[6]) - 1)
if last ~= m[3] then return {'TORN', m[3], last} end
local before = tonumber(ARGV[3])
for i = 9, #ARGV, 2 do
  local seq = tonumber(ARGV[i])
  if not seq or seq <= before or not ARGV[i + 1] then return redis.error_reply('ERR the records are not in order') end
  before = seq
end
if string.format('%.0f', before) ~= ARGV[5] or (#ARGV == 8 and ARGV[4] ~= ARGV[6]) then
  return redis.error_reply('ERR the records do not end at the new position')
end
for i = 9, #ARGV, 2 do
  redis.call('XADD', KEYS[2], ARGV[1] .. '-' .. ARGV[i], 'p', ARGV[i + 1])
end
redis.call('HSET', KEYS[1], 'seq', ARGV[5], 'chain', ARGV[6], 'in', ARGV[8])
return {'OK', ARGV[5]}
"""
)

# A write without content, so that WAIT on a new connection is about everything before it.
TOUCH: Final = Script.of(
    """#!lua
-- KEYS 1 meta   ARGV 1 epoch 2 owner 3 seq 4 chain
local m = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'seq', 'chain')
if not m[1] then return {'LOST'} end
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then return {'FENCED', m[1], m[2]} end
if m[3] ~= ARGV[3] then return {'GAP', m[3]} end
if m[4] ~= ARGV[4] then return {'DIVERGED', m[3]} end
redis.call('HINCRBY', KEYS[1], 'touch', 1)
return {'OK', m[3]}
"""
)

INIT: Final = Script.of(
    """#!lua
-- KEYS 1 meta 2 log   ARGV 1 name 2 history id 3 format 4 chain value before 5 last event before 6 last epoch before
local name = redis.call('HGET', KEYS[1], 'name')
if name and name ~= ARGV[1] then return {'TAKEN', name} end
if name then return {'EXISTS'} end
if redis.call('EXISTS', KEYS[1], KEYS[2]) > 0 then return {'LOST'} end
redis.call('HSET', KEYS[1], 'name', ARGV[1], 'gen', ARGV[2], 'fmt', ARGV[3], 'epoch', ARGV[6], 'owner', '', 'seq', ARGV[5],
  'chain', ARGV[4], 'in', '0-0', 'first', string.format('%.0f', tonumber(ARGV[5]) + 1), 'base', ARGV[4],
  'snap', '0', 'snap_prev', '0')
return {'OK', ARGV[5]}
"""
)

ACQUIRE: Final = Script.of(
    """#!lua
-- KEYS 1 meta 2 lease 3 epochs   ARGV 1 owner 2 lifetime in ms 3 highest epoch known 4 owners that are known to have ended begin so
local m = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if not m[1] or not m[2] then return {'LOST'} end
local holder = redis.call('GET', KEYS[2])
local ended = holder and ARGV[4] ~= '' and string.sub(holder, 1, #ARGV[4]) == ARGV[4]
if holder and holder ~= ARGV[1] and not ended then return {'HELD', holder, redis.call('PTTL', KEYS[2])} end
local epoch = string.format('%.0f', math.max(tonumber(m[1]), tonumber(ARGV[3])) + 1)
redis.call('HSET', KEYS[1], 'epoch', epoch, 'owner', ARGV[1])
redis.call('HSET', KEYS[3], epoch, string.format('%.0f', tonumber(m[2]) + 1))
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {'OK', epoch}
"""
)

# Allowed where the memory is full: a healthy leader must not lose its lease for that reason.
RENEW: Final = Script.of(
    """#!lua flags=allow-oom
-- KEYS 1 meta 2 lease   ARGV 1 epoch 2 owner 3 lifetime in ms
local m = redis.call('HMGET', KEYS[1], 'epoch', 'owner')
if not m[1] then return {'LOST'} end
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then return {'FENCED', m[1], m[2]} end
local holder = redis.call('GET', KEYS[2])
if holder == ARGV[2] then
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  return {'OK', ARGV[1]}
end
if holder then return {'FENCED', m[1], holder} end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return {'OK', ARGV[1]}
"""
)

RELEASE: Final = Script.of(
    """#!lua flags=allow-oom
-- KEYS 1 lease   ARGV 1 owner
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'FENCED'} end
redis.call('DEL', KEYS[1])
return {'OK'}
"""
)

# The leader gives a workspace away: from here on nothing that it sends is accepted, and the lease is free.
RESIGN: Final = Script.of(
    """#!lua flags=allow-oom
-- KEYS 1 meta 2 lease   ARGV 1 epoch 2 owner
local m = redis.call('HMGET', KEYS[1], 'epoch', 'owner')
if not m[1] then return {'LOST'} end
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then return {'FENCED', m[1], m[2]} end
redis.call('HSET', KEYS[1], 'owner', '')
if redis.call('GET', KEYS[2]) == ARGV[2] then redis.call('DEL', KEYS[2]) end
return {'OK', m[1]}
"""
)

# Commands for the leader, each with a number that only grows for its sender. Numbers that were written before are skipped, so a
# sender whose reply was lost sends again. One field for each node that ever sent: its present run, and the last number of that.
ENQUEUE: Final = Script.of(
    """#!lua
-- KEYS 1 inbound 2 senders   ARGV 1 node 2 run 3 commands that may wait 4... number, command, ...
local known = redis.call('HGET', KEYS[2], ARGV[1])
local run, last = string.match(known or '', '^(%S+) (%d+)$')
last = run == ARGV[2] and tonumber(last) or 0
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[3]) then return {'BUSY', last} end
for i = 4, #ARGV, 2 do
  local number = tonumber(ARGV[i])
  if number > last then
    redis.call('XADD', KEYS[1], '*', 'r', ARGV[2], 'c', ARGV[i], 'p', ARGV[i + 1])
    last = number
  end
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. string.format('%.0f', last))
return {'OK', last}
"""
)

# Notes the parts that are going to be written, so that those of an interrupted snapshot can be deleted.
BEGIN_SNAPSHOT: Final = Script.of(
    """#!lua
-- KEYS 1 meta   ARGV 1 epoch 2 owner 3 seq 4 parts
local m = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'snap', 'snap_prev', 'snap_new')
if not m[1] then return {'LOST'} end
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then return {'FENCED', m[1], m[2]} end
if m[3] == ARGV[3] or m[4] == ARGV[3] then return {'DUP', m[3]} end
redis.call('HSET', KEYS[1], 'snap_new', ARGV[3] .. ' ' .. ARGV[4])
return {'OK', m[5] or '', m[3], m[4]}
"""
)

COMMIT_SNAPSHOT: Final = Script.of(
    """#!lua
-- KEYS 1 meta 2... header and parts   ARGV 1 epoch 2 owner 3 history id 4 seq
local m = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'gen', 'seq', 'snap')
if not m[1] then return {'LOST'} end
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then return {'FENCED', m[1], m[2]} end
if m[3] ~= ARGV[3] or tonumber(ARGV[4]) > tonumber(m[4]) then return {'GAP', m[4]} end
if m[5] == ARGV[4] then return {'DUP', m[5]} end
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then return {'TORN', KEYS[i]} end
end
redis.call('HSET', KEYS[1], 'snap', ARGV[4], 'snap_prev', m[5])
return {'OK', m[5]}
"""
)

# The log begins later. The entries before are removed afterwards; readers ignore them from now on.
BEGIN_AT: Final = Script.of(
    """#!lua flags=allow-oom
-- KEYS 1 meta   ARGV 1 epoch 2 owner 3 first event 4 chain value before it
local m = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'first', 'snap_prev', 'seq')
if not m[1] then return {'LOST'} end
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then return {'FENCED', m[1], m[2]} end
local first = tonumber(ARGV[3])
if first > tonumber(m[4]) or first > tonumber(m[5]) then return {'GAP', m[4]} end
if first <= tonumber(m[3]) then return {'DUP', m[3]} end
redis.call('HSET', KEYS[1], 'first', ARGV[3], 'base', ARGV[4])
return {'OK', ARGV[3]}
"""
)

# After a loss that the operator accepts: the intact beginning goes on under a new history id.
RESET: Final = Script.of(
    """#!lua
-- KEYS 1 meta 2 epochs
-- ARGV 1 epoch 2 owner 3 seq kept 4 chain kept 5 new history id 6 snap 7 snap_prev 8 first 9 base
local m = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'gen', 'gens')
if not m[1] then return {'LOST'} end
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then return {'FENCED', m[1], m[2]} end
local first = tonumber(ARGV[3]) + 1
local starts = redis.call('HGETALL', KEYS[2])
for i = 1, #starts, 2 do
  if tonumber(starts[i + 1]) > first then redis.call('HDEL', KEYS[2], starts[i]) end
end
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f', first))
redis.call('HSET', KEYS[1], 'seq', ARGV[3], 'chain', ARGV[4], 'gen', ARGV[5], 'gens', (m[4] or '') .. ' ' .. m[3],
  'snap', ARGV[6], 'snap_prev', ARGV[7], 'first', ARGV[8], 'base', ARGV[9])
return {'OK', ARGV[3]}
"""
)

# Tries every command that the other scripts use, so that missing rights are found at the start.
CANARY: Final = Script.of(
    """#!lua
-- KEYS 1 hash 2 stream 3 string
redis.call('HSET', KEYS[1], 'a', '1')
redis.call('HINCRBY', KEYS[1], 'a', 1)
redis.call('HMGET', KEYS[1], 'a')
redis.call('HGET', KEYS[1], 'a')
redis.call('HGETALL', KEYS[1])
redis.call('HDEL', KEYS[1], 'a')
redis.call('XADD', KEYS[2], '1-1', 'p', '')
redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
redis.call('SET', KEYS[3], '1', 'PX', 1000)
redis.call('GET', KEYS[3])
redis.call('PTTL', KEYS[3])
redis.call('PEXPIRE', KEYS[3], 1000)
redis.call('EXISTS', KEYS[1])
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
return {'OK'}
"""
)

ALL: Final = (APPEND, TOUCH, INIT, ACQUIRE, RENEW, RELEASE, BEGIN_SNAPSHOT, COMMIT_SNAPSHOT, BEGIN_AT, RESET, RESIGN, ENQUEUE)


def evalsha(script: Script, keys: list[str], *arguments: str | bytes | int) -> tuple[str | bytes | int, ...]:
    """Return the command that executes a script by its digest; the server must have loaded it."""
    return ("EVALSHA", script.digest, len(keys), *keys, *arguments)
