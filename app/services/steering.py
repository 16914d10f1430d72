"""Messages for a run that is active: kept for it, and the next run's prompt if it ends before it could read them."""

from uuid import UUID

from app.database.unit import Unit
from app.models.bells import RunSteered
from app.models.conversation import Conversation
from app.models.ids import new_id
from app.models.run import Run, WaitingOn
from app.services.event_log import append_events


async def steer(unit: Unit, conversation: Conversation, message_id: UUID, text: str, created_by: str) -> Run | None:
    """Keep a message for the run at the head of the conversation, which is locked; None when no run is active.

    The run's agent gets it before its next request. A run that waits for people gets it when it goes on.
    """
    active = await unit.runs.active_of(conversation.id)
    head = await unit.runs.lock(active[0].id) if active else None
    if head is None:
        return None
    await unit.steering.add(message_id, head.id, text, created_by)
    if head.status == "running":
        unit.ring(RunSteered(head.id))
    return head


async def hand_on(unit: Unit, ended: Run) -> None:
    """Make one run of the messages that an ended run never read, in their order. The conversation is locked.

    It stands behind nothing but what holds the conversation; the caller releases the next run.
    """
    left = await unit.steering.undelivered([ended.id])
    if not left:
        return
    conversation = await unit.conversations.get(ended.conversation_id)
    assert conversation is not None
    waiting = WaitingOn(type="conversation", run_id=ended.id)
    run = await unit.runs.add_parked(
        {
            "id": new_id(),
            "conversation_id": ended.conversation_id,
            "user_id": ended.user_id,
            "pattern": ended.pattern,
            "agent": ended.agent,
            "agent_version": ended.agent_version,
            "model": ended.model,
            "lane": ended.lane,
            "status": "queued",
            "max_attempts": ended.max_attempts,
            "priority": 1,
            "trigger": "message",
            "input": {"prompt": "\n\n".join(message.text for message in left)},
            "limits": ended.limits,
            "taint": sorted({*conversation.taint, *ended.taint}),
            "streamed": ended.streamed,
            "created_by": left[0].created_by,
            "waiting_on": [waiting.model_dump(mode="json", exclude_none=True)],
        }
    )
    await unit.steering.hand_on([message.id for message in left], run.id)
    await append_events(unit, run, [("run.queued", {"waiting_on": run.waiting_on or []})])
