"""Calls that an attempt cannot answer itself: how it leaves them to others, and what the next makes of the answers."""

from typing import Any

from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, ToolApproved, ToolDenied

from app.models.approval import Approval
from app.services.attempt import Attempt
from app.services.awaited import CLIENT_SECONDS, Await
from app.services.ending import Ending
from app.services.history import step_of


def wait(attempt: Attempt, deferred: DeferredToolRequests) -> Ending:
    """The ending of an attempt whose calls wait for people, for its client, or for runs that it begins."""
    asked, awaited = _asked(attempt, deferred), _awaited(attempt, deferred)
    if asked:
        reason, detail = "approval", "A person must decide."
    elif any(call.kind == "client" for call in awaited):
        reason, detail = "client_tool", "The application must answer a call of one of its tools."
    else:
        reason, detail = "sub_run", "Runs that this one began are still on their way."
    return Ending("waiting", reason, detail, deferred=deferred, approvals=asked, awaited=awaited)


def _asked(attempt: Attempt, deferred: DeferredToolRequests) -> list[dict[str, Any]]:
    step = step_of(attempt.messages, attempt.run.id)
    asked: list[dict[str, Any]] = []
    for call in deferred.approvals:
        about = deferred.metadata.get(call.tool_call_id, {})
        asked.append(
            {
                "kind": about.get("kind", "tool_call"),
                "tool": call.tool_name,
                "tool_call_id": call.tool_call_id,
                "step": step,
                "arguments": about.get("arguments", {}),
                "arguments_hash": about.get("arguments_hash", ""),
                "reason": about.get("reason"),
                "taint": about.get("taint", []),
            }
        )
    return asked


def _awaited(attempt: Attempt, deferred: DeferredToolRequests) -> list[Await]:
    """The calls that others answer. A tool that defers one says in its metadata how: `seconds`, `child`."""
    step = step_of(attempt.messages, attempt.run.id)
    calls: list[Await] = []
    for call in deferred.calls:
        about = deferred.metadata.pop(call.tool_call_id, {})
        child = about.get("child")
        seconds = about.get("seconds", CLIENT_SECONDS) if child is None else None
        calls.append(Await(call.tool_call_id, call.tool_name, step, call.args_as_dict(), seconds=seconds, child=child))
    return calls


def answers(attempt: Attempt) -> DeferredToolResults | None:
    """What came of the calls that the run waited for; None when it waited for none."""
    deferred = attempt.record.deferred_tool_requests
    if deferred is None:
        return None
    approvals: dict[str, Any] = {}
    for call in deferred.approvals:
        approval = attempt.approvals.get(call.tool_call_id)
        why = _refused(approval)
        if why is not None:
            attempt.tool_ended(call, "denied", why)
            approvals[call.tool_call_id] = ToolDenied(why)
        elif approval is not None and approval.decided_arguments is not None:
            approvals[call.tool_call_id] = ToolApproved(override_args=approval.decided_arguments)
        else:
            approvals[call.tool_call_id] = ToolApproved()
    return deferred.build_results(approvals=approvals, calls=_contents(attempt, deferred))


def _refused(approval: Approval | None) -> str | None:
    """Why a call that a person was asked about is not made; None when it may be."""
    if approval is None or approval.status not in ("denied", "expired"):
        return None
    if approval.status == "expired":
        return "Nobody decided about this call in time; it was not made."
    return f"A person denied this call and wrote: {approval.note}" if approval.note else "A person denied this call."


def _contents(attempt: Attempt, deferred: DeferredToolRequests) -> dict[str, Any]:
    """What others answered, the latest of each call."""
    answered = {call.tool_call_id: call.outcome or {} for call in attempt.awaited}
    contents: dict[str, Any] = {}
    for call in deferred.calls:
        outcome = answered.get(call.tool_call_id, {})
        content = outcome.get("content", "Nobody answered this call.")
        contents[call.tool_call_id] = content if outcome.get("status") == "ok" else ToolFailed(str(content))
    return contents
