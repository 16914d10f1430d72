"""Tasks that agents propose: checked when they are proposed, made for the run's user once a person has agreed."""

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from app.agents.context import TaskProposal
from app.database.connection import Database
from app.database.unit import Unit
from app.models.errors import InvalidInput, NotFound
from app.models.identity import Principal
from app.models.run import Run
from app.models.schedule import PreviewIn, ScheduleIn
from app.models.slack import PROVIDER
from app.models.task import Task, TaskCreate
from app.services import schedules, tasks, timetable
from app.services.idempotency import Once
from app.services.orders import Desk

_ROUTE = "propose_task"


class Planners:
    """Gives each run its planner."""

    def __init__(self, database: Database, desk: Desk) -> None:
        self._database = database
        self._desk = desk

    def of(self, run: Run) -> "Planner":
        """The planner of a run."""
        return Planner(self._database, self._desk, run)


class Planner:
    """Plans for the user of one run, and for nobody else."""

    def __init__(self, database: Database, desk: Desk, run: Run) -> None:
        self._database = database
        self._desk = desk
        self._run = run

    async def check(self, proposal: TaskProposal) -> str:
        """When the task would run and whom it would tell, in a sentence. Raises InvalidInput."""
        async with self._database.begin(self._run.workspace_id) as unit:
            wanted = await self._wanted(unit, proposal)
            assert wanted.schedule is not None
            await self._desk.agent(unit, self._desk.pattern("scheduled", background=True), wanted.agent)
            preview = PreviewIn(schedule=wanted.schedule, count=1)
            shown = await schedules.show(unit, preview, min_seconds=self._desk.min_seconds)
        if not shown.occurrences:
            raise InvalidInput("This schedule never comes due.")
        return f"It would run: {shown.description}; next {shown.occurrences[0].local}. {_told(wanted)}"

    async def create(self, proposal: TaskProposal, key: str) -> Mapping[str, Any]:
        """Make the task and describe it; the same key gives the task that was made with it. Raises InvalidInput."""
        run, task_id = self._run, _task_id(self._run.id, key)
        user = Principal("system", f"run:{run.id}", run.workspace_id, run.user_id, frozenset(), bound_to_user=True)
        async with self._database.begin(run.workspace_id) as unit:
            row = await unit.tasks.get(task_id)
            if row is None:
                wanted = await self._wanted(unit, proposal)
                once = Once(user, _ROUTE, hashlib.sha256(key.encode()).hexdigest(), b"")
                row, _, _ = await tasks.create(unit, user, wanted, desk=self._desk, once=once, task_id=task_id)
            return _described(row)

    async def _wanted(self, unit: Unit, proposal: TaskProposal) -> TaskCreate:
        try:
            return TaskCreate.model_validate(
                {
                    "task_type": "scheduled",
                    "title": proposal.title,
                    "prompt": proposal.prompt,
                    "agent": proposal.agent,
                    "schedule": dict(proposal.schedule),
                    "notification_config": await self._target(unit, proposal.notify),
                }
            )
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            at = ".".join(str(part) for part in first["loc"])
            raise InvalidInput(f"{at}: {first['msg']}") from None

    async def _target(self, unit: Unit, channel: str) -> dict[str, Any]:
        """Where the person is reached by a channel: what they have set up themselves. Raises InvalidInput."""
        if channel == "email":
            connection = await unit.connections.of_user(self._run.user_id)
            if connection is None or connection.status != "active":
                raise InvalidInput(
                    "notify: no e-mail address of this person is known; a Google account that is connected has one."
                )
            return {"channels": ["email"], "email_address": connection.account}
        if channel == "slack":
            return {"channels": ["slack"], **await self._slack(unit)}
        return {}

    async def _slack(self, unit: Unit) -> dict[str, Any]:
        """The person's own direct messages; the operator's channel only for the owner."""
        identity = await unit.identities.of_user(self._run.user_id, PROVIDER)
        if identity is not None:
            return {"slack_channel": identity.subject.rpartition(":")[2]}
        user = await unit.users.get(self._run.user_id)
        if user is None or not user.is_owner:
            raise InvalidInput("notify: who this person is in Slack is not known.")
        return {}


def _task_id(run_id: UUID, key: str) -> UUID:
    """An id that the same call has at every try: of the time of its run, and else of its key."""
    digest = int.from_bytes(hashlib.sha256(key.encode()).digest()[:10], "big")
    value = (run_id.int >> 80 << 80) | digest
    return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | (7 << 76) | (2 << 62))


def _told(wanted: TaskCreate) -> str:
    config = wanted.notification_config
    if not config.channels:
        return "Nobody is told of its results."
    target = config.email_address or (f"Slack {config.slack_channel}" if config.slack_channel else "the Slack channel")
    return f"Its results go to {target}."


def _described(row: Task) -> dict[str, Any]:
    if row.schedule is None:
        raise NotFound("The task was changed meanwhile.", code="task_not_found")
    schedule = ScheduleIn.model_validate(row.schedule)
    due = row.next_fire_at.isoformat() if row.next_fire_at else None
    return {"status": "created", "task_id": str(row.id), "runs": timetable.describe(schedule), "next_run_at": due}
