"""How far a piece of research is, told in the events of its run whenever a part of it ends.

Whoever settles runs calls this, in any process: nothing here needs the agent library.
"""

from collections.abc import Iterable, Mapping
from uuid import UUID

from app.agents.research import KEY, Brief, Outcome, PartStatus, State, progress
from app.database.unit import Unit
from app.models.awaited import AwaitedCall
from app.models.run import Run
from app.services.event_log import append_events

_STATUS: Mapping[str, PartStatus] = {"ok": "done", "failed": "failed"}


async def after_part(unit: Unit, child: Run) -> None:
    """Tell the research that a run belonged to how far it is now; nothing for other runs."""
    if child.parent_run_id is None or Brief.of(child.input) is None:
        return
    parent = await unit.runs.get(child.parent_run_id)
    if parent is None or not (parent.state or {}).get(KEY):
        return
    parts = outcomes_of(State.of(parent.state), await unit.awaited.of_run(parent.id))
    await append_events(unit, parent, [("plan.updated", progress(parts))])


def outcomes_of(state: State, calls: Iterable[AwaitedCall]) -> list[Outcome]:
    """Every part of the plan with its run, and whether that has ended."""
    by_id = {call.tool_call_id: call for call in calls}
    return [_outcome(state, by_id.get(part_id), number) for number, (part_id, _) in enumerate(state.parts)]


def _outcome(state: State, call: AwaitedCall | None, number: int) -> Outcome:
    part = state.parts[number][1]
    run_id: UUID | None = call.child_run_id if call is not None else None
    if call is None or call.status == "pending":
        return Outcome(part, run_id, "open")
    return Outcome(part, run_id, _STATUS.get((call.outcome or {}).get("status", ""), "failed"))
