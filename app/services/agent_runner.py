"""The agent runner: one agent, one document, one run at a time for a user."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pydantic_core

from app.agents.definition import merge_limits
from app.agents.document_agents import CHECKER, DOCUMENT_AGENTS
from app.agents.samples import SAMPLES, TRAVEL_POLICY
from app.database.unit import Unit
from app.models.agent_run import AgentRunCreate, AgentRunOut, AgentRunStarted, DocumentIn
from app.models.errors import Conflict, InvalidInput, NotFound
from app.models.identity import Principal
from app.models.ids import new_id
from app.models.run import Limits, Run
from app.services import definitions, files, intake, users
from app.services.idempotency import Once, earlier
from app.services.intake import Order
from app.services.orders import Desk

AGENT_TYPES = tuple(agent.name for agent in DOCUMENT_AGENTS)
"""What can be run here."""

_SEPARATORS = re.compile(r"[\s_-]+")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: how long a request waits for others of the same user, and how long a run may execute."""

    lock: float = 5.0
    run: float = 600.0


async def begin(
    unit: Unit, principal: Principal, wanted: AgentRunCreate, *, desk: Desk, patience: Patience, once: Once | None
) -> tuple[AgentRunStarted, bool]:
    """Begin the run; also whether an earlier request had begun it.

    Raises InvalidInput for an unknown type (the detail lists the known ones) or a document that cannot be had, and
    Conflict while a run of the same user is active.
    """
    name = _type(wanted.agent_type)
    run_id = new_id()
    existing = await earlier(unit, once, run_id)
    if existing is not None:
        return AgentRunStarted(run_id=existing), True
    user_id = await users.subject(unit, principal, wanted.user_id)
    more = await _given(unit, desk, name, wanted.input, user_id)
    if not await unit.agent_runs.alone(user_id, patience.lock) or await unit.agent_runs.active(user_id) is not None:
        raise Conflict("An agent is already running", code="agent_already_running")
    pattern = desk.pattern("delegation", background=True)
    agent = await desk.agent(unit, pattern, name)
    conversation = await unit.conversations.add(
        {"id": new_id(), "user_id": user_id, "pattern": pattern.name, "agent": name, "title": agent.description[:200]}
    )
    await definitions.store(unit, agent)
    order = Order(
        conversation_id=conversation.id,
        pattern=pattern.name,
        lane=pattern.lane,
        agent=name,
        agent_version=agent.version,
        model=desk.models.name(agent.model),
        max_attempts=min(pattern.max_attempts, desk.max_attempts),
        trigger="agent_run",
        created_by=principal.id,
        prompt=_prompt(name, wanted.policy, sample=wanted.input is None),
        limits=merge_limits(Limits(seconds=patience.run), agent.limits, pattern.limits).model_dump(
            mode="json", exclude_none=True
        ),
        more=more,
        id=run_id,
    )
    await intake.submit(unit, order, conversation)
    return AgentRunStarted(run_id=run_id), False


def _type(given: str) -> str:
    name = _SEPARATORS.sub("-", given.strip()).lower()
    if name not in AGENT_TYPES:
        known = ", ".join(AGENT_TYPES)
        detail = f"body.agent_type: there is no agent type {given!r}; there are: {known}."
        raise InvalidInput(detail, code="unknown_type")
    return name


async def _given(unit: Unit, desk: Desk, name: str, given: DocumentIn | None, user_id: UUID) -> dict[str, Any]:
    """What the run's input says of its document."""
    if given is None:
        return {"document": {"sample": name}}
    if sum(one is not None for one in (given.text, given.url, given.file_id)) != 1:
        raise InvalidInput("body.input: give one of text, url and file_id.")
    if given.file_id is not None:
        return {"files": await files.check(unit, [given.file_id], user_id, "body.input.file_id")}
    if given.url is not None:
        desk.guard.check_url(given.url)
        return {"document": {"url": given.url}}
    return {"document": {"text": given.text}}


def _prompt(name: str, policy: str | None, *, sample: bool) -> str:
    if name != CHECKER:
        return "Hand in what stands in this document as data."
    if policy is None and not sample:
        raise InvalidInput("body.policy: the policy checker needs the text of a policy.", code="policy_missing")
    return f"Hold this document against the policy, rule by rule.\n\nPolicy:\n{policy or TRAVEL_POLICY}"


async def look(unit: Unit, principal: Principal, run_id: UUID) -> AgentRunOut:
    """The run as it is now. Raises NotFound."""
    run = await unit.runs.get(run_id)
    if run is None or (principal.bound_to_user and run.user_id != principal.user_id):
        raise NotFound(f"Run ID: {run_id} not found", code="run_not_found")
    result = await unit.runs.result(run.id)
    names = await unit.users.names([run.user_id])
    data: Any = result.data if result is not None and run.status == "completed" else None
    if data is not None:
        data = {"source": await _source(unit, run), **data}
    text = result.text if result is not None and run.status == "completed" else None
    failed = run.status in ("failed", "cancelled")
    return AgentRunOut(
        run_id=run.id,
        agent_type=run.agent,
        user_id=names[run.user_id],
        status="failed" if failed else "completed" if run.status == "completed" else "running",
        result=text if data is None else pydantic_core.to_json(data).decode(),
        result_data=data,
        error=(run.status_detail or run.status_reason or run.status) if failed else None,
        started_at=run.started_at or run.created_at,
        completed_at=run.completed_at,
    )


async def _source(unit: Unit, run: Run) -> str:
    """Which document the run was about, in words."""
    given: dict[str, Any] = run.input.get("document") or {}
    if "sample" in given:
        return f"sample document {SAMPLES[given['sample']][0]}: the request gave none"
    if "url" in given:
        return str(given["url"])
    found = [row.name for row, role in await unit.files.of_run(run.id) if role == "input"]
    return found[0] if found else "the text of the request"
