"""Tasks: saved orders, made, listed, changed, switched off and carried out."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from app.agents.definition import AgentDefinition, merge_limits
from app.agents.pattern import Pattern
from app.database.unit import Unit
from app.models.errors import Conflict, InvalidInput, NotFound
from app.models.identity import Principal
from app.models.ids import new_id
from app.models.run import Limits, Run
from app.models.task import Task, TaskCreate, TaskPatch
from app.services import definitions, extras, intake, notifications, standing, users
from app.services.extras import Extras
from app.services.idempotency import Once, earlier, settle
from app.services.intake import Order
from app.services.launch import more_of
from app.services.orders import Desk
from app.services.task_views import STANDING
from app.services.tuning import accepted, check_allowed

_NULLABLE = frozenset({"title", "limits", "model", "overrides", "depends_on", "options", "output_schema"})


async def create(
    unit: Unit, principal: Principal, wanted: TaskCreate, *, desk: Desk, once: Once | None, task_id: UUID | None = None
) -> tuple[Task, str | None, bool]:
    """Save a task and begin its first run where nothing else makes its runs, in one unit.

    Also gives the secret of its webhook if one was made, and whether an earlier request had saved it. Raises
    InvalidInput for a pattern, agent, model, limit, schedule or address that cannot be used.
    """
    pattern = desk.pattern(wanted.task_type, background=True)
    agent = await desk.agent(unit, pattern, wanted.agent)
    values = _stored(wanted.model_dump(exclude={"task_type", "agent", "user_id", *standing.FIELDS}), wanted, desk)
    values |= _said_otherwise(wanted, agent, values["options"])
    desk.check_rules(wanted.notification_config, agent, wanted.output_schema)
    _check_options(wanted, pattern)
    desk.check_model(values["model"] or agent.model, Limits.model_validate(values["limits"]))
    task_id = task_id or new_id()
    existing = await earlier(unit, once, task_id)
    if existing is not None:
        return await get(unit, principal, existing), None, True
    user_id = await users.subject(unit, principal, wanted.user_id)
    await extras.checked(unit, Extras(wanted.files, wanted.output_schema), user_id)
    values |= await standing.of_new(unit, wanted, task_id, desk)
    row = await unit.tasks.add(
        {**values, "id": task_id, "user_id": user_id, "pattern": pattern.name, "agent": agent.name}
    )
    secret = await standing.secret_of_new(unit, wanted, task_id, desk)
    if row.pattern not in STANDING and row.after_task_id is None:
        row = replace(row, last_run_id=(await _begin(unit, principal, row, desk=desk, trigger="api")).id)
    return row, secret, False


def _stored(values: dict[str, Any], wanted: TaskCreate | TaskPatch, desk: Desk) -> dict[str, Any]:
    """The wire's fields as the columns that they are stored in."""
    stored = {name: value for name, value in values.items() if name != "overrides"}
    if wanted.notification_config is not None and "notification_config" in stored:
        notifications.check(wanted.notification_config, desk.guard)
        stored["notification_config"] = wanted.notification_config.model_dump(mode="json", exclude_none=True)
    if wanted.targets is not None and "targets" in stored:
        stored["targets"] = desk.targets(wanted.targets, default="allow")
    if "limits" in stored:
        stored["limits"] = wanted.limits.model_dump(mode="json", exclude_none=True) if wanted.limits else {}
    if "options" in stored:
        stored["options"] = {"research": wanted.options.model_dump(mode="json")} if wanted.options else {}
    return stored


def _check_options(wanted: TaskCreate | TaskPatch, pattern: Pattern) -> None:
    if wanted.options is not None and pattern.name != "research":
        raise InvalidInput("body.options: only tasks of the type research take options.", code="options_not_taken")
    if wanted.output_schema is not None and pattern.name == "research":
        raise InvalidInput("body.output_schema: a research comes to a report.", code="output_schema_not_taken")


def _said_otherwise(wanted: TaskCreate | TaskPatch, agent: AgentDefinition, options: dict[str, Any]) -> dict[str, Any]:
    """The columns of what the task says otherwise than its agent; `overrides.model` is the same as `model`."""
    if wanted.model is not None:
        check_allowed(agent, "model", "body.model")
    if "overrides" not in wanted.model_fields_set:
        return {}
    said = accepted(agent, wanted.overrides)
    model = said.pop("model", None)
    return {"options": {**options, "overrides": said}, **({"model": model} if model else {})}


async def _begin(unit: Unit, principal: Principal, task: Task, *, desk: Desk, trigger: str) -> Run:
    """One run of the task, in a conversation of its own."""
    pattern = desk.pattern(task.pattern, background=True)
    agent = await desk.agent(unit, pattern, task.agent)
    conversation = await unit.conversations.add(
        {
            "id": new_id(),
            "user_id": task.user_id,
            "pattern": task.pattern,
            "agent": agent.name,
            "title": task.title,
            "context_data": task.context_data,
            "targets": task.targets,
            "grants": task.grants,
        }
    )
    await definitions.store(unit, agent)
    order = _order(desk, task, pattern, agent, conversation.id)
    order = replace(order, trigger=trigger, created_by=principal.id)
    run = await intake.submit(unit, order, conversation, on_busy="enqueue")
    await unit.tasks.change(task.id, {"last_run_id": run.id})
    return run


def _order(desk: Desk, task: Task, pattern: Pattern, agent: AgentDefinition, conversation_id: UUID) -> Order:
    """The order for one run; what the task leaves open comes from its agent, then from its pattern."""
    limits = merge_limits(Limits.model_validate(task.limits), agent.limits, pattern.limits)
    return Order(
        conversation_id=conversation_id,
        pattern=pattern.name,
        lane=pattern.lane,
        agent=agent.name,
        agent_version=agent.version,
        model=desk.models.name(task.model or agent.model),
        max_attempts=min(pattern.max_attempts, desk.max_attempts),
        trigger="api",
        created_by="",
        prompt=task.prompt,
        limits=limits.model_dump(mode="json", exclude_none=True),
        task_id=task.id,
        more=more_of(task),
    )


async def get(unit: Unit, principal: Principal, task_id: UUID) -> Task:
    """The task. Raises NotFound, also for one of a user whom the principal does not stand for."""
    return _seen(principal, await unit.tasks.get(task_id))


def _seen(principal: Principal, row: Task | None) -> Task:
    if row is None:
        raise NotFound("There is no such task.", code="task_not_found")
    users.check_visible(principal, row.user_id, "task")
    return row


async def change(unit: Unit, principal: Principal, task_id: UUID, wanted: TaskPatch, *, desk: Desk) -> Task:
    """Change what the fields name; runs that began keep what they began with. Raises NotFound, InvalidInput."""
    row = _seen(principal, await unit.tasks.lock(task_id))
    given = wanted.model_dump(include=wanted.model_fields_set)
    for name, value in given.items():
        if value is None and name not in _NULLABLE:
            raise InvalidInput(f"body.{name}: give a value, or leave the field out.")
    if not given:
        return row
    values = _stored({name: value for name, value in given.items() if name not in standing.FIELDS}, wanted, desk)
    values |= await standing.of_change(unit, row, wanted, desk)
    agent = await desk.agent(unit, desk.pattern(row.pattern, background=True), row.agent)
    if "options" in values:
        kept = {name: value for name, value in row.options.items() if name != "research"}
        values["options"] = {**kept, **values["options"]}
    values |= _said_otherwise(wanted, agent, values.get("options", row.options))
    desk.check_rules(wanted.notification_config, agent, values.get("output_schema", row.output_schema))
    _check_options(wanted, desk.pattern(row.pattern, background=True))
    await extras.checked(unit, Extras(wanted.files or (), wanted.output_schema), row.user_id)
    present: dict[str, Any] = {"model": row.model, "limits": row.limits, **values}
    desk.check_model(present["model"] or agent.model, Limits.model_validate(present["limits"]))
    return _seen(principal, await unit.tasks.change(row.id, values))


async def switch(unit: Unit, principal: Principal, task_id: UUID, *, on: bool) -> Task:
    """Enable or disable the task; a disabled one begins no runs. Runs that began go on. Raises NotFound."""
    row = _seen(principal, await unit.tasks.lock(task_id))
    if (row.disabled_at is None) is on:
        return row
    return _seen(principal, await unit.tasks.switch(row.id, on=on))


async def delete(unit: Unit, principal: Principal, task_id: UUID) -> None:
    """Delete the task and keep its runs. Raises NotFound."""
    row = await get(unit, principal, task_id)
    await unit.tasks.delete(row.id)


async def execute(
    unit: Unit, principal: Principal, task_id: UUID, *, desk: Desk, once: Once | None
) -> tuple[UUID, bool]:
    """Begin a run of the task now; its id, and whether an earlier request had begun it.

    Raises NotFound, and Conflict for a disabled task.
    """
    row = _seen(principal, await unit.tasks.lock(task_id))
    if row.disabled_at is not None:
        raise Conflict("The task is disabled. Enable it first.", code="task_disabled")
    existing = await earlier(unit, once, row.id)
    if existing is not None:
        return existing, True
    run = await _begin(unit, principal, row, desk=desk, trigger="execute")
    await settle(unit, once, run.id)
    return run.id, False


async def page(
    unit: Unit,
    principal: Principal,
    *,
    limit: int,
    after: UUID | None,
    pattern: str | None = None,
    status: str | None = None,
    user_id: str | None = None,
) -> list[Task]:
    """Tasks, the newest first; of one user when `user_id` names one."""
    whose, nobody = await users.filtered(unit, principal, user_id)
    if nobody:
        return []
    return await unit.tasks.page(limit=limit, after=after, pattern=pattern, status=status, user_id=whose)
