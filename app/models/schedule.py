"""A schedule: when a task comes due, and what became of each due time."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from app.models.wire import Inbound, Outbound

Overlap = Literal["skip", "queue_one", "cancel_running", "allow"]
Missed = Literal["none", "latest", "all"]
OccurrenceKind = Literal["schedule", "backfill", "chain"]
Outcome = Literal["run", "waiting", "skipped_overlap", "skipped_missed", "skipped_paused", "skipped_disabled"]
"""`waiting` becomes `run` when the run before it has ended."""

MAX_COUNT = 100
MAX_EVERY = 5 * 365 * 86_400
_STEP = re.compile(r"([0-9]{1,9}) ?([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:")


def _written(value: Any) -> Any:
    if isinstance(value, datetime) or (isinstance(value, str) and _DATE.match(value)):
        return value
    raise ValueError("give a date and time as text, such as 2026-12-01T09:00:00Z")


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError("name the offset from UTC, as in 2026-12-01T09:00:00Z or 2026-12-01T09:00:00+01:00")
    return value


Moment = Annotated[datetime, Field(strict=False), BeforeValidator(_written), AfterValidator(_aware)]
"""A moment as clients write it: RFC 3339 text that names its offset."""


def every_seconds(every: float | str) -> float:
    """The seconds that `every` stands for. Raises ValueError for what stands for none."""
    if isinstance(every, bool):
        raise ValueError("give seconds as a number, or text such as 90s, 15m, 2h or 1d")
    if isinstance(every, str):
        found = _STEP.fullmatch(every)
        if found is None:
            raise ValueError("give seconds as a number, or text such as 90s, 15m, 2h or 1d")
        every = int(found[1]) * _UNITS[found[2]]
    if not 1 <= every <= MAX_EVERY:
        raise ValueError("give a time from one second to five years")
    return float(every)


def _every(value: Any) -> int | float | str:
    if not isinstance(value, int | float | str):
        raise ValueError("give seconds as a number, or text such as 90s, 15m, 2h or 1d")
    every_seconds(value)
    return value


Every = Annotated[
    int | float | str,
    PlainValidator(_every),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 1}, {"type": "string", "pattern": "^[0-9]{1,9} ?[smhdw]$"}]}
    ),
]


class ScheduleIn(Inbound):
    """When a task comes due: one of `cron`, `every` and `at`, read in `timezone`.

    `cron` has the five fields and the meaning of crontab(5), or is `@hourly` … `@yearly`; `every` is a number of
    seconds or text such as `90s`, `15m`, `2h`, `1d`, counted in real time from `start_at` or from the creation.
    """

    cron: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        default=None, examples=["0 9 * * 1-5"]
    )
    every: Every | None = Field(default=None, examples=[None])
    at: Moment | None = Field(default=None, examples=[None], description="Once, at this moment.")
    timezone: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        default="UTC", examples=["Europe/Berlin"], description="A name of the IANA time zone database."
    )
    start_at: Moment | None = Field(default=None, examples=[None], description="No occurrence before it.")
    end_at: Moment | None = Field(default=None, examples=[None], description="No occurrence after it.")
    max_runs: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, examples=[None], description="The schedule is finished after so many runs."
    )
    jitter_seconds: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default=0, description="Fire up to so many seconds late, by a number drawn once per occurrence."
    )
    overlap: Overlap = Field(default="skip", description="What happens while a run of the task is still active.")
    missed: Missed = Field(
        default="latest", description="What is made up for after a time without a scheduler; `all` is at most 100."
    )
    pause_after_failures: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        default=5, description="Pause the task after so many failures in a row; null: never."
    )

    @model_validator(mode="after")
    def _says_one_thing(self) -> "ScheduleIn":
        if sum(given is not None for given in (self.cron, self.every, self.at)) != 1:
            raise ValueError("give exactly one of cron, every and at")
        return self


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A row of `occurrences`: one due time of a task and what became of it.

    `fire_at` is the due time and its jitter; `recorded_at` is when it was decided on.
    """

    workspace_id: UUID
    id: UUID
    task_id: UUID
    due_at: datetime
    fire_at: datetime
    kind: OccurrenceKind
    outcome: Outcome
    reason: str | None
    run_id: UUID | None
    recorded_at: datetime


class OccurrenceOut(Outbound):
    """One due time and what became of it. `reason` says in a sentence why it did not run, or ran late."""

    due_at: datetime
    fire_at: datetime
    kind: OccurrenceKind = Field(examples=["schedule"])
    outcome: Outcome = Field(examples=["run"])
    reason: str | None = Field(examples=[None])
    run_id: UUID | None
    late_seconds: float | None = Field(
        examples=[0.012], description="How long after `fire_at` it was decided on; null for a backfill."
    )
    recorded_at: datetime


class PreviewIn(Inbound):
    """A schedule to look at before it is saved: its next `count` due times after `after` (now)."""

    schedule: ScheduleIn = Field(examples=[{"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"}])
    after: Moment | None = Field(default=None, examples=[None])
    count: Annotated[int, Field(ge=1, le=MAX_COUNT)] = Field(default=5, examples=[3])


class DueTime(Outbound):
    """One due time, in UTC and as the clock on the wall shows it. `note` tells of a change of the clocks."""

    utc: datetime
    local: str = Field(examples=["2026-11-23T09:00:00+01:00"])
    note: str | None = Field(default=None, examples=[None])


class PreviewOut(Outbound):
    """A schedule in words, and its next due times."""

    description: str = Field(examples=["At 09:00, Monday through Friday (Europe/Berlin)"])
    occurrences: list[DueTime]


class PauseIn(Inbound):
    """Why a task is paused; shown with every occurrence that it skips."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = Field(
        default=None, examples=["Waiting for the new price list"]
    )


class BackfillIn(Inbound):
    """Make up for the due times from `from` to `to`, both included. A dry run only lists them."""

    since: Moment = Field(alias="from", examples=["2026-11-14T00:00:00Z"])
    until: Moment = Field(alias="to", examples=["2026-11-21T00:00:00Z"])
    dry_run: bool = Field(default=True, examples=[True])


class BackfilledOut(Outbound):
    """A due time that a backfill runs, or would run; `outcome` is what had become of it before."""

    due_at: datetime
    outcome: Outcome | None = Field(examples=["skipped_missed"])
    run_id: UUID | None = Field(examples=[None])


class BackfillOut(Outbound):
    """The due times that did not run yet, the oldest first, 100 at most; `has_more` tells of others."""

    dry_run: bool
    occurrences: list[BackfilledOut]
    has_more: bool
