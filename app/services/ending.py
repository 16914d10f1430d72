"""How an attempt leaves its run, and usage in the forms that it is kept and shown in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

from app.models.run import RunStatus, Usage
from app.services.awaited import Await

Told = tuple[str, dict[str, Any]]
"""An event by type and payload."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt leaves its run: the status, the reason, and what goes with it.

    `state` replaces what a pattern in plain Python remembers; None leaves it as it is. `told` are events that a wait
    begins with.
    """

    to: RunStatus
    reason: str | None = None
    detail: str | None = None
    text: str | None = None
    data: Any = None
    deferred: DeferredToolRequests | None = None
    available_in: float | None = None
    counts: bool = True
    approvals: Sequence[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    awaited: Sequence[Await] = ()
    state: dict[str, Any] | None = None
    told: Sequence[Told] = ()


def usage_document(
    usage: RunUsage, seconds: float, *, unpriced: bool, sent: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Usage of a run as the ledger keeps it; `cost_usd` is null where a price is not known.

    `sent` is what the model was sent last of the conversation.
    """
    more = {"sent": sent} if sent else {}
    return {
        **more,
        "requests": usage.requests,
        "tool_calls": usage.tool_calls,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cost_usd": str(usage.cost) if usage.cost is not None and not unpriced else None,
        "seconds": round(seconds, 3),
    }


def run_usage(document: dict[str, Any]) -> RunUsage:
    """The usage that a run had when it was last written."""
    cost = document.get("cost_usd")
    return RunUsage(
        requests=document.get("requests", 0),
        tool_calls=document.get("tool_calls", 0),
        input_tokens=document.get("input_tokens", 0),
        output_tokens=document.get("output_tokens", 0),
        cost=Decimal(cost) if cost is not None else None,
    )


def public_usage(document: dict[str, Any]) -> dict[str, Any]:
    """Usage as clients see it."""
    return Usage.model_validate({key: document.get(key) for key in Usage.model_fields if key in document}).model_dump(
        mode="json"
    )
