"""What the ledger knows of a piece of research: what came of its parts, what was read, what it has used."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from app.agents.research import Finding, Outcome, State, finding_of
from app.database.unit import Unit
from app.models.awaited import AwaitedCall
from app.models.research import Source
from app.models.run import Run, Usage
from app.services.research_progress import outcomes_of
from app.services.sources import root_of

_MOST_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class Known:
    """What is known when an attempt begins. `below` is what the researchers used, `waited` the seconds they took,
    each round as long as its longest part."""

    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    sources: dict[str, Source] = field(default_factory=dict[str, Source])
    below: Usage = field(default_factory=Usage)
    waited: float = 0.0


async def look(unit: Unit, run: Run, state: State, calls: list[AwaitedCall]) -> Known:
    """Read all of it."""
    sources = {source.ref: source for source in await unit.sources.of_root(root_of(run))}
    outcomes: list[Outcome] = []
    by_run = {call.child_run_id: call for call in calls}
    for one in outcomes_of(state, calls):
        problems = await _problems(unit, one.run_id) if one.run_id else ()
        outcomes.append(_told(replace(one, problems=problems), by_run.get(one.run_id), sources))
    below = await unit.runs.usage_below([run.id], with_own=False)
    seconds = await unit.runs.seconds_of([one.run_id for one in outcomes if one.run_id is not None])
    return Known(outcomes, sources, Usage.model_validate(below.get(run.id, {})), _waited(state, outcomes, seconds))


async def _problems(unit: Unit, run_id: UUID) -> tuple[str, ...]:
    """Tool calls that failed, in words."""
    failed = (call for call in await unit.journal.of_run(run_id) if call.status == "failed")
    return tuple(dict.fromkeys(f"{call.tool}: {call.result}" for call in failed))[:_MOST_PROBLEMS]


def _told(one: Outcome, call: AwaitedCall | None, sources: Mapping[str, Source]) -> Outcome:
    outcome = (call.outcome or {}) if call is not None else {}
    if outcome.get("status") != "ok":
        return replace(one, detail=str(outcome.get("content") or "It was not researched."))
    found = finding_of(outcome.get("content"))
    if found is None:
        return replace(one, status="failed", detail="What was handed in was no finding.")
    return replace(one, finding=_fetched(found, sources))


def _fetched(finding: Finding, sources: Mapping[str, Source]) -> Finding:
    """The finding without statements that rest on nothing that was fetched."""
    kept = [
        said.model_copy(update={"refs": [ref for ref in said.refs if ref in sources]}) for said in finding.statements
    ]
    return finding.model_copy(update={"statements": [said for said in kept if said.refs]})


def _waited(state: State, outcomes: list[Outcome], seconds: Mapping[UUID, float]) -> float:
    waited, at = 0.0, 0
    for parts in state.rounds:
        runs = [one.run_id for one in outcomes[at : at + len(parts)]]
        waited += max((seconds.get(run_id, 0.0) for run_id in runs if run_id is not None), default=0.0)
        at += len(parts)
    return waited


def document(known: Known, report: Mapping[str, Any], text: str, numbers: Mapping[str, int]) -> dict[str, Any]:
    """The result of a piece of research as data: the report, as Markdown and in parts, its sources, the findings."""
    return {
        "markdown": text,
        "report": dict(report),
        "sources": [_source(known.sources[ref], number) for ref, number in numbers.items()],
        "findings": [_finding(one) for one in known.outcomes],
    }


def _source(source: Source, number: int) -> dict[str, Any]:
    return {
        "number": number,
        "ref": source.ref,
        "title": source.title,
        "url": source.url,
        "kind": source.kind,
        "fetched_at": source.fetched_at.isoformat(),
    }


def _finding(one: Outcome) -> dict[str, Any]:
    return {
        "title": one.part.title,
        "question": one.part.question,
        "status": one.status,
        "run_id": str(one.run_id) if one.run_id else None,
        "finding": one.finding.model_dump(mode="json") if one.finding else None,
        "detail": one.detail,
        "problems": list(one.problems),
    }
