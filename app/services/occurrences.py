"""What becomes of the due times that have passed: the rules, without any of the ledger.

A due time is missed when a later one has passed as well, or when it is found later than a grace. `missed` says which of
those run after all; they run together. `overlap` is about a run that was active before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import ValidationError

from app.database.stores.timetable import Advance
from app.models.ids import new_id
from app.models.schedule import Missed, Occurrence, Outcome, ScheduleIn
from app.models.task import Task
from app.services.launch import Launch
from app.services.timetable import BadSchedule, Timetable, timetable

MOST_RUNS = 100
"""How many missed due times `all` makes up for."""
MOST_ROWS = 1_000
"""How many due times that have passed are recorded one by one."""
GRACE_SECONDS = (5.0, 60.0)
"""A due time is on time within a tenth of its period, but at least and at most so many seconds."""
MISSED_REASONS: dict[Missed, str] = {
    "none": "Nothing was there to fire it, and the schedule makes up for nothing (missed: none).",
    "latest": "Nothing was there to fire it, and the schedule makes up for the latest one only (missed: latest).",
    "all": f"Nothing was there to fire it; of the many that were missed only the latest {MOST_RUNS} run.",
}
LATE_REASON = "Made up for: nothing was there to fire it when it came due."
WAIT_REASON = "Waits until the run before it has ended."


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a task's due times, the runs that this begins, those that it stops, and what comes next."""

    advance: Advance
    rows: list[Occurrence] = field(default_factory=list[Occurrence])
    launches: list[Launch] = field(default_factory=list[Launch])
    stops: list[UUID] = field(default_factory=list[UUID])


def decide(task: Task, now: datetime, active: list[UUID], *, waiting: bool) -> Verdict:
    """Decide on the task's due times up to `now`, given its active runs and whether an occurrence waits for them.

    A schedule that cannot be read any more breaks: the task is to be paused with the reason.
    """
    assert task.next_due_at is not None
    try:
        table = timetable(ScheduleIn.model_validate(task.schedule), task.next_due_at)
        dues, cut = _passed(table, task.next_due_at, task.id, now)
        following = table.after(dues[-1])
    except (BadSchedule, ValidationError) as error:
        what = str(error) if isinstance(error, BadSchedule) else "it cannot be read"
        return Verdict(Advance(task, None, None, 0, finished=False, broken=f"The schedule is broken: {what}."))
    round_ = _Round(table, task, now, active, waiting=waiting)
    round_.settle(dues, following)
    rows = round_.rows
    if cut and rows:
        note = f"Earlier ones since {task.next_due_at:%Y-%m-%d %H:%M:%S} UTC had no better luck and are not listed."
        rows[0] = replace(rows[0], reason=f"{rows[0].reason or ''} {note}".strip())
    finished = following is None or round_.spent
    fire_at = None if finished or following is None else table.fire_at(following, task.id)
    advance = Advance(task, None if finished else following, fire_at, round_.runs, finished=finished, broken=None)
    return Verdict(advance, rows, round_.launches, round_.stops)


def _passed(table: Timetable, since: datetime, task_id: UUID, now: datetime) -> tuple[list[datetime], bool]:
    """The due times from `since` that fire up to now, the latest ones if they are many, and whether some are left out.

    `since` is due in any case.
    """
    following = table.after(since)
    if following is None or table.fire_at(following, task_id) > now:
        return [since], False
    later = table.latest(following, now, MOST_ROWS + 1)
    later = [due for due in later if table.fire_at(due, task_id) <= now]
    dues = [since, *later]
    return dues[-MOST_ROWS:], len(dues) > MOST_ROWS


class _Round:
    """One look at one task: goes through its due times and notes what becomes of each."""

    def __init__(self, table: Timetable, task: Task, now: datetime, active: list[UUID], *, waiting: bool) -> None:
        self.rows: list[Occurrence] = []
        self.launches: list[Launch] = []
        self.stops: list[UUID] = []
        self.runs = 0
        self._table, self._task, self._now = table, task, now
        self._active, self._waiting = active, waiting

    @property
    def spent(self) -> bool:
        """Whether the schedule has made all the runs that it may make."""
        most = self._table.schedule.max_runs
        return most is not None and self._task.runs_made + self.runs >= most

    def settle(self, dues: list[datetime], following: datetime | None) -> None:
        """Give each due time its outcome, the oldest first; none is left once the runs are spent."""
        if self._task.disabled_at is not None:
            return self._skip_all(dues, "skipped_disabled", "The task was disabled.")
        if self._task.paused_at is not None:
            why = f": {self._task.pause_reason}" if self._task.pause_reason else "."
            return self._skip_all(dues, "skipped_paused", f"The task was paused{why}")
        late = set(dues[:-1]) | set(self._late(dues, following))
        chosen = self._chosen(dues, late)
        for due in dues:
            if self.spent:
                return None
            if due not in chosen:
                self._note(due, "skipped_missed", MISSED_REASONS[self._table.schedule.missed])
            else:
                self._begin(due, LATE_REASON if due in late else None)
        return None

    def _late(self, dues: list[datetime], following: datetime | None) -> Iterator[datetime]:
        """The latest due time, if even that one is found too late to be on time."""
        newest = dues[-1]
        before, after = (dues[-2], newest) if len(dues) > 1 else (newest, following)
        period = (after - before).total_seconds() if after is not None else float("inf")
        least, most = GRACE_SECONDS
        grace = timedelta(seconds=min(most, max(least, period / 10)))
        if self._now - self._table.fire_at(newest, self._task.id) > grace:
            yield newest

    def _chosen(self, dues: list[datetime], late: set[datetime]) -> set[datetime]:
        missed = self._table.schedule.missed
        if missed == "all":
            return set(dues[-MOST_RUNS:])
        return {dues[-1]} if missed == "latest" else {dues[-1]} - late

    def _skip_all(self, dues: list[datetime], outcome: Outcome, reason: str) -> None:
        for due in dues:
            self._note(due, outcome, reason)

    def _begin(self, due: datetime, reason: str | None) -> None:
        overlap = self._table.schedule.overlap
        if self._active and overlap in ("skip", "queue_one"):
            if overlap == "queue_one" and not self._waiting:
                self._waiting = True
                self.runs += 1
                return self._note(due, "waiting", WAIT_REASON)
            return self._note(due, "skipped_overlap", f"The run before it ({self._active[0]}) was still active.")
        if overlap == "cancel_running":
            self.stops = self._active
        launch = Launch(task=self._task, trigger="schedule", created_by="scheduler")
        self.launches.append(launch)
        self.runs += 1
        return self._note(due, "run", reason, launch.run_id)

    def _note(self, due: datetime, outcome: Outcome, reason: str | None, run_id: UUID | None = None) -> None:
        fire_at = self._table.fire_at(due, self._task.id)
        task = self._task
        self.rows.append(
            Occurrence(
                task.workspace_id, new_id(), task.id, due, fire_at, "schedule", outcome, reason, run_id, self._now
            )
        )
