"""How the bus writes events into Valkey: ids, lines, and the scripts that check and append in one step."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from app.models.frames import Frame

MAX_ENTRIES = 10_000
RUNNING_SECONDS = 24 * 3600
ENDED_SECONDS = 3600


class Position(NamedTuple):
    """The id of a stream's last entry; 0-0 for an empty one."""

    fence: int
    seq: int

    def __str__(self) -> str:
        return f"{self.fence}-{self.seq}"

    @classmethod
    def of(cls, entry_id: bytes) -> "Position":
        """Read an id as Valkey writes it."""
        fence, seq = entry_id.split(b"-")
        return cls(int(fence), int(seq))


NOWHERE = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Publication:
    """Frames to append to a run's stream, which its writer believes to end `after`."""

    run_id: UUID
    fence: int
    after: Position
    frames: Sequence[Frame]
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Tail:
    """What a run that was taken over had published: `position` is the end from now on, `lost_some` a restart since."""

    position: Position
    frames: list[Frame]
    lost_some: bool


def stream_of(run_id: UUID) -> str:
    """The key of a run's stream."""
    return f"sixlane:run:{run_id}"


def channel_of(run_id: UUID) -> bytes:
    """The channel that tells what the run's stream gets."""
    return f"sixlane:news:{run_id}".encode()


def arguments(one: Publication) -> list[Any]:
    """What both scripts take: the key, then the rest."""
    kept = ENDED_SECONDS if one.ended else RUNNING_SECONDS
    found: list[Any] = [stream_of(one.run_id), str(one.after), channel_of(one.run_id), MAX_ENTRIES, kept]
    for frame in one.frames:
        found += (f"{one.fence}-{frame.seq}", b"%b %b" % (frame.type.encode(), frame.data))
    return found


def read_line(seq: int, line: bytes) -> Frame:
    """A frame from an entry."""
    type_, data = line.split(b" ", 1)
    return Frame(seq, type_.decode(), data)


def read_lines(message: bytes) -> list[Frame]:
    """The frames of one message."""
    found: list[Frame] = []
    for line in message.split(b"\n"):
        entry_id, rest = line.split(b" ", 1)
        found.append(read_line(Position.of(entry_id).seq, rest))
    return found


class Script(NamedTuple):
    """A Lua script and the digest that Valkey knows it by."""

    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> "Script":
        """The script with its digest."""
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


# KEYS: stream. ARGV: expected last id, channel, most entries, seconds to keep it; then id and line of each event.
# The last entry carries the server's time: a server that was started later may have lost what came after it.
APPEND = Script.of(
    """
local top = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local last = top[1] and top[1][1] or '0-0'
if last ~= ARGV[1] then return last end
local lines = {}
for i = 5, #ARGV, 2 do
  if i + 1 < #ARGV then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], ARGV[i], 'e', ARGV[i + 1])
  else
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], ARGV[i], 'e', ARGV[i + 1], 's', redis.call('TIME')[1])
  end
  lines[#lines + 1] = ARGV[i] .. ' ' .. ARGV[i + 1]
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('PUBLISH', ARGV[2], table.concat(lines, '\\n'))
return 'ok'
"""
)

# The same for committed events of somebody other than the run's executor: what the stream has passed is only told.
ANNOUNCE = Script.of(
    """
local lines = {}
for i = 5, #ARGV, 2 do
  redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], ARGV[i], 'e', ARGV[i + 1], 's', redis.call('TIME')[1])
  lines[#lines + 1] = ARGV[i] .. ' ' .. ARGV[i + 1]
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('PUBLISH', ARGV[2], table.concat(lines, '\\n'))
return 'ok'
"""
)
