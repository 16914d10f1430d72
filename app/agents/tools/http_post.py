"""The tool `http_post`: sends JSON to a target that a person named. The model never chooses an address."""

import hashlib
import json
import re
from copy import deepcopy
from dataclasses import replace
from typing import Any

from pydantic_ai import ModelRetry, RunContext, Tool, ToolFailed
from pydantic_ai.tools import ToolDefinition

from app.agents import policy
from app.agents.context import AgentContext, Target
from app.agents.policy import Verdict
from app.agents.text import clean
from app.agents.tool import Arguments, OutcomeUnknown, ToolSpec
from app.integrations.http import OutboundError, OutboundResponse
from app.models.errors import InvalidInput, Transient

_SECONDS = 20.0
_MOST_SENT = 256_000
_MOST_READ = 20_000
_PASSING = frozenset({429, 500, 502, 503, 504})
_NOBODY_KNOWS = frozenset({502, 504})
_HEADER_SAFE = re.compile(r"[\x21-\x7e]{1,255}")


async def http_post(ctx: RunContext[AgentContext], target: str, data: dict[str, Any]) -> dict[str, Any]:
    """Send data as JSON to one of the named targets and give its answer.

    Args:
        ctx: The run.
        target: The name of the target.
        data: The JSON object to send.
    """
    known = ctx.deps.target(target)
    if known is None:
        names = ", ".join(other.name for other in ctx.deps.targets)
        raise ModelRetry(f"There is no target {target!r}; choose one of: {names}.")
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Sixlane",
        "Idempotency-Key": _key(ctx.deps.effect_key(ctx.tool_call_id or "")),
    }
    try:
        answer = await ctx.deps.outbound.request(
            "POST", known.url, headers=headers, content=_body(data), seconds=_SECONDS, max_bytes=_MOST_READ
        )
    except InvalidInput as error:
        raise ToolFailed(f"Nothing was sent: {error.detail}") from error
    except OutboundError as error:
        raise _without_answer(known, error) from error
    return _read(known, answer)


def _body(data: dict[str, Any]) -> bytes:
    try:
        body = json.dumps(clean(data), ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise ModelRetry("The data holds a number that JSON cannot carry.") from error
    if len(body) > _MOST_SENT:
        raise ModelRetry(f"The data is longer than {_MOST_SENT} bytes.")
    return body


def _key(key: str) -> str:
    # The key holds the call's id, which is the model's to choose and might be no header text.
    return key if _HEADER_SAFE.fullmatch(key) else hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def _without_answer(target: Target, error: OutboundError) -> Exception:
    if not error.sent:
        return ToolFailed(f"Nothing was sent: {error.detail}.")
    if target.idempotent:
        return Transient(f"{target.name}: {error.detail}", code="target_unreachable")
    return OutcomeUnknown(f"{target.name} was sent the data and gave no answer: {error.detail}")


def _read(target: Target, answer: OutboundResponse) -> dict[str, Any]:
    text = answer.text
    if answer.status < 300:
        return {"status": answer.status, "body": _value(text), "cut": answer.truncated}
    said = f"{target.name} answered {answer.status}: {text[:500]}"
    if target.idempotent and answer.status in _PASSING:
        raise Transient(said, code="target_unavailable", retry_after=_seconds(answer.headers.get("retry-after")))
    if answer.status in _NOBODY_KNOWS:
        raise OutcomeUnknown(f"{said} (a gateway in between, so nobody knows whether the data arrived)")
    raise ToolFailed(said)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and re.fullmatch(r"\d{1,6}", header) else None


async def _offer(ctx: RunContext[AgentContext], definition: ToolDefinition) -> ToolDefinition | None:
    if not ctx.deps.targets:
        return None
    schema = deepcopy(definition.parameters_json_schema)
    schema["properties"]["target"]["enum"] = [target.name for target in ctx.deps.targets]
    return replace(definition, parameters_json_schema=schema)


def _target(context: AgentContext, arguments: Arguments) -> Target | None:
    return context.target(str(arguments.get("target", "")))


def _policy(context: AgentContext, arguments: Arguments) -> Verdict:
    return policy.of_post(context, str(arguments.get("target", "")))


def _repeatable(context: AgentContext, arguments: Arguments) -> bool:
    target = _target(context, arguments)
    return target is None or target.idempotent


TOOL = ToolSpec(
    tool=Tool(http_post, max_retries=2, prepare=_offer),
    scope="Sends JSON to the targets that the task or conversation names, and to nothing else.",
    effect="write",
    policy=_policy,
    repeatable=_repeatable,
)
