"""The aftermath of a run: streaks, notifications, chained tasks, answers in Slack; each is settled once, by itself.

Nothing in the ending of a run knows of any of this. It reads the ledger afterwards, in whatever process is first.
"""

from collections.abc import Callable

import structlog

from app.database.connection import Database
from app.database.stores.settling import Unsettled
from app.database.unit import Unit
from app.models.errors import Unavailable
from app.services import awaited, chains, notifications, research_progress, schedules, slack_answers
from app.services.rounds import Rounds

log = structlog.get_logger(__name__)

BATCH = 200
MOST_TRIES = 5


class Settler(Rounds):
    """Settles what has ended or waits. Any number of processes may have one."""

    subject = "settling"

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.on_settled: Callable[[], None] | None = None
        self._database = database
        self._failures: dict[Unsettled, int] = {}

    async def look(self) -> int:
        """Settle everything that is open now; returns how many runs were. Raises Unavailable."""
        settled = 0
        while True:
            async with self._database.across() as unit:
                ended, waiting = await unit.settling.ended(BATCH), await unit.settling.waiting(BATCH)
            for one in ended:
                settled += await self._careful(one)
            for one in waiting:
                await self._tell_of_waiting(one)
            if (ended or waiting) and self.on_settled is not None:
                self.on_settled()
            if len(ended) < BATCH:
                return settled

    async def _careful(self, one: Unsettled) -> bool:
        """Settle one run. One that cannot be followed up is given up after some tries, and never stops others."""
        try:
            async with self._database.begin(one.workspace_id) as unit:
                given_up = self._failures.get(one, 0) >= MOST_TRIES
                done = await unit.settling.take(one)
                if done:
                    await _follow_up(unit, one, given_up=given_up)
        except Unavailable:
            raise
        except Exception:
            self._failures[one] = self._failures.get(one, 0) + 1
            log.exception("settling.run_failed", run_id=str(one.run_id), tries=self._failures[one])
            return False
        self._failures.pop(one, None)
        return done

    async def _tell_of_waiting(self, one: Unsettled) -> None:
        try:
            async with self._database.begin(one.workspace_id) as unit:
                await _announce(unit, one)
        except Unavailable:
            raise
        except Exception:
            log.exception("settling.announcement_failed", run_id=str(one.run_id))


async def _follow_up(unit: Unit, one: Unsettled, *, given_up: bool) -> None:
    run = await unit.runs.get(one.run_id)
    if run is None:
        return
    result = (await unit.runs.results([run.id])).get(run.id)
    if run.trigger == "sub_run":
        await awaited.child_ended(unit, run, result)  # never given up: the run that began it waits
        await research_progress.after_part(unit, run)
    if given_up:
        return
    if run.trigger == "slack":
        await slack_answers.after_run(unit, run, result)
    task = await unit.tasks.get(run.task_id) if run.task_id else None
    if task is None:
        return  # it has none, or that was deleted: nobody is told, nothing follows
    moment = await schedules.after_run(unit, task, run)
    await notifications.after_run(unit, task, run, result, moment)
    await chains.after_run(unit, task, run, result)


async def _announce(unit: Unit, one: Unsettled) -> None:
    marked = set(await unit.settling.announce(one))
    run = await unit.runs.get(one.run_id)
    if not marked or run is None:
        return
    asked = [approval for approval in await unit.approvals.of_run(run.id, status="pending") if approval.id in marked]
    if run.trigger == "slack":
        await slack_answers.waiting(unit, run, asked)
    task = await unit.tasks.get(run.task_id) if run.task_id else None
    if task is not None:
        await notifications.waiting(unit, task, run, asked)
