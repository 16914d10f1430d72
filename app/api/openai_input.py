"""What clients of the OpenAI API send, in our words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.agents.definition import AgentDefinition
from app.models.agent import Overrides
from app.models.client_tool import ClientToolIn
from app.models.errors import InvalidInput
from app.models.imported import Imported, ImportedCall
from app.models.openai import (
    AssistantIn,
    CallItem,
    CallOutputItem,
    CompletionIn,
    CompletionMessage,
    CompletionTool,
    DecisionItem,
    FunctionIn,
    MessageItem,
    ResponseIn,
    ResponseItem,
    ResponseTool,
    ServerCallItem,
    SpokenIn,
    text_of,
)
from app.services import awaited
from app.services.client_tools import declared
from app.services.responses import Answers, Decided

CALL_SECONDS = 3_600
"""How long a run waits for a function of the client."""

_PLAIN: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


def history_of(messages: Iterable[CompletionMessage]) -> list[Imported]:
    """The messages of a chat completion."""
    return [_message(one) for one in messages]


def _message(one: CompletionMessage) -> Imported:
    if isinstance(one, SpokenIn):
        return Imported("user" if one.role == "user" else "system", text_of(one.content))
    if isinstance(one, AssistantIn):
        calls = tuple(
            ImportedCall(call.id, call.function.name, call.function.arguments) for call in one.tool_calls or ()
        )
        return Imported("assistant", text_of(one.content), calls)
    return Imported("tool", text_of(one.content), call_id=one.tool_call_id)


@dataclass
class _Step:
    """One answer of the assistant while its pieces come in."""

    text: str = ""
    calls: list[ImportedCall] = field(default_factory=list[ImportedCall])
    results: list[Imported] = field(default_factory=list[Imported])
    answered: bool = False

    def messages(self) -> list[Imported]:
        """The answer and what its calls came to."""
        said = [Imported("assistant", self.text, tuple(self.calls))] if self.text or self.calls else []
        return [*said, *self.results]


def items_of(given: str | Sequence[ResponseItem]) -> list[Imported]:
    """The input of a response, as a history. Raises InvalidInput for a decision: it needs the response it is about."""
    if isinstance(given, str):
        return [Imported("user", given)]
    history: list[Imported] = []
    step = _Step()
    for item in given:
        if isinstance(item, DecisionItem):
            raise InvalidInput("A decision needs `previous_response_id`.", extra={"param": "previous_response_id"})
        if _begins_anew(item, step):
            history += step.messages()
            step = _Step()
        if isinstance(item, MessageItem) and item.role != "assistant":
            history.append(Imported("user" if item.role == "user" else "system", text_of(item.content)))
        else:
            _take(item, step)
    return [*history, *step.messages()]


def _begins_anew(item: ResponseItem, step: _Step) -> bool:
    if isinstance(item, MessageItem):
        return bool(step.text or step.calls or step.results) or item.role != "assistant"
    return step.answered and not isinstance(item, CallOutputItem)


def _take(item: ResponseItem, step: _Step) -> None:
    if isinstance(item, MessageItem):
        step.text = text_of(item.content)
    elif isinstance(item, CallItem):
        step.calls.append(ImportedCall(item.call_id, item.name, item.arguments))
    elif isinstance(item, ServerCallItem):
        step.calls.append(ImportedCall(item.id, item.name, item.arguments))
        text, failed = (item.error or "", True) if item.error is not None else (item.output or "", False)
        step.results.append(Imported("tool", text, call_id=item.id, failed=failed))
    elif isinstance(item, CallOutputItem):
        step.results.append(Imported("tool", text_of(item.output), call_id=item.call_id))
        step.answered = True


def answers_of(given: str | Sequence[ResponseItem]) -> Answers:
    """The answers in an input that follows a response; empty for one that holds a message.

    Raises InvalidInput for one that holds both, or an answer twice.
    """
    items = [] if isinstance(given, str) else list(given)
    outputs = [item for item in items if isinstance(item, CallOutputItem)]
    decisions = [item for item in items if isinstance(item, DecisionItem)]
    if not outputs and not decisions:
        return Answers()
    if any(isinstance(item, MessageItem) for item in items):
        raise InvalidInput(
            "Answer the calls first, and send the message with the next request.", extra={"param": "input"}
        )
    results = {item.call_id: awaited.ok(text_of(item.output)) for item in outputs}
    if len(results) != len(outputs):
        raise InvalidInput("One call has two outputs.", extra={"param": "input"})
    return Answers(results, [Decided(_approval(item), item.approve, item.reason) for item in decisions])


def _approval(item: DecisionItem) -> UUID:
    try:
        return UUID(item.approval_request_id.removeprefix("apr_"))
    except ValueError:
        raise InvalidInput("There is no such approval request.", extra={"param": "input"}) from None


def functions_of(
    tools: Sequence[CompletionTool | ResponseTool] | None, agent: AgentDefinition
) -> list[dict[str, Any]] | None:
    """Functions of the client as tools of a conversation; None when the request says nothing of them.

    What a function returns may be anybody's text, so it counts as such. Raises InvalidInput.
    """
    if tools is None:
        return None
    wanted = [_tool(tool.function if isinstance(tool, CompletionTool) else tool) for tool in tools]
    return declared(wanted, taken=agent.tools)


def _tool(function: FunctionIn) -> ClientToolIn:
    return ClientToolIn(
        name=function.name,
        description=function.description or function.name,
        parameters=function.parameters or _PLAIN,
        timeout_seconds=CALL_SECONDS,
        untrusted=True,
    )


_USUAL = {"temperature": 1, "top_p": 1}


def overrides_in(body: CompletionIn | ResponseIn, agent: AgentDefinition) -> Overrides | None:
    """What the request says otherwise than the agent; None for nothing. What is usual anyway may always be said.

    Raises InvalidInput naming a parameter that the agent does not let be overridden.
    """
    asked: dict[str, tuple[str, Any]] = {name: (name, getattr(body, name)) for name in _USUAL}
    if isinstance(body, CompletionIn):
        most = "max_completion_tokens" if body.max_completion_tokens is not None else "max_tokens"
        asked |= {"max_tokens": (most, getattr(body, most)), "seed": ("seed", body.seed)}
        asked["thinking"] = ("reasoning_effort", body.reasoning_effort)
    else:
        asked["max_tokens"] = ("max_output_tokens", body.max_output_tokens)
        asked["thinking"] = ("reasoning", body.reasoning.effort if body.reasoning else None)
        asked["instructions_append"] = ("instructions", body.instructions or None)
    said: dict[str, Any] = {}
    for name, (param, value) in asked.items():
        if value is None or (name not in agent.overrides and _USUAL.get(name) == value):
            continue
        if name not in agent.overrides:
            raise _not_allowed(agent, name, param)
        said[name] = value
    return Overrides(**said) if said else None


def _not_allowed(agent: AgentDefinition, name: str, param: str) -> InvalidInput:
    detail = f"The agent {agent.name} does not let `{param}` be set: `{name}` is not among its overrides."
    return InvalidInput(detail, code="override_not_allowed", extra={"param": param})


def check_instructions(history: Iterable[Imported], agent: AgentDefinition) -> None:
    """Refuse instructions for an agent that takes none but its own."""
    if any(one.role == "system" for one in history) and "instructions_append" not in agent.overrides:
        raise _not_allowed(agent, "instructions_append", "messages")
