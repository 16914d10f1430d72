"""Frames: events of a run, encoded once and carried as bytes. Nothing is validated per token."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

import pydantic_core


class Frame(NamedTuple):
    """One encoded event. `data` is the JSON that clients see; `row` the part that the ledger stores."""

    seq: int
    type: str
    data: bytes
    row: bytes = b""

    @property
    def event(self) -> dict[str, Any]:
        """The event as a plain dictionary."""
        return pydantic_core.from_json(self.data)


class EventBatch(NamedTuple):
    """Consecutive events that one commit stores as one row; `rows` is their JSON array."""

    first_seq: int
    last_seq: int
    rows: str

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> "EventBatch":
        """The batch of one or more consecutive frames."""
        rows = b"[" + b",".join(frame.row for frame in frames) + b"]"
        return cls(frames[0].seq, frames[-1].seq, rows.decode())


class EventHead(NamedTuple):
    """Whose events these are: the part of the envelope that stays the same."""

    run_id: UUID
    conversation_id: UUID
    attempt: int


def frame(head: EventHead, seq: int, type_: str, payload: Mapping[str, Any], *, at: datetime | None = None) -> Frame:
    """Encode one event. Text that JSON or the ledger cannot hold is replaced, never refused."""
    body = _body(payload)
    rest = b"," + body[1:] if len(body) > 2 else b"}"
    row = b'{"type":"%b","ts":"%b","attempt":%d%b' % (type_.encode(), stamp(at), head.attempt, rest)
    return Frame(seq, type_, whole(row, seq, head.run_id, head.conversation_id), row)


def from_wire(data: bytes, seq: int, type_: str, run_id: UUID, conversation_id: UUID) -> Frame:
    """A frame that another process has encoded."""
    return Frame(seq, type_, data, b"{" + data[len(_ids(seq, run_id, conversation_id)) :])


def from_ledger(stored: dict[str, Any], seq: int, run_id: UUID, conversation_id: UUID) -> Frame:
    """A frame from an element of the ledger's array."""
    row = _json(stored)
    return Frame(seq, stored["type"], whole(row, seq, run_id, conversation_id), row)


def whole(row: bytes, seq: int, run_id: UUID, conversation_id: UUID) -> bytes:
    """The event as clients see it, from what the ledger stores of it."""
    return _ids(seq, run_id, conversation_id) + row[1:]


def _ids(seq: int, run_id: UUID, conversation_id: UUID) -> bytes:
    return b'{"seq":%d,"run_id":"%b","conversation_id":"%b",' % (
        seq,
        str(run_id).encode(),
        str(conversation_id).encode(),
    )


def stamp(at: datetime | None = None) -> bytes:
    """A time as RFC 3339 in UTC with milliseconds; now, when none is given."""
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()


def _body(payload: Mapping[str, Any]) -> bytes:
    try:
        body = _json(payload)
    except ValueError:
        return _json(_storable(payload))
    return body if b"\\u0000" not in body else _json(_storable(payload))


def _json(payload: Any) -> bytes:
    return pydantic_core.to_json(payload, inf_nan_mode="null", serialize_unknown=True)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {_storable(key): _storable(item) for key, item in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_storable(item) for item in cast(Iterable[Any], value)]
    return value
