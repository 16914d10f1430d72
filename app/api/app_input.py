"""What applications send in other protocols, in our words."""

from typing import Any, cast
from uuid import UUID

from app.models.app_protocols import AgUiMessage, AgUiRunIn, AgUiTool, ResumeIn, UiMessage, UiPart, VercelChatIn
from app.models.client_tool import ClientToolIn
from app.models.errors import InvalidInput
from app.services import awaited
from app.services.app_turns import AppMessage
from app.services.responses import Answers, Decided

MOST_PROMPT = 500_000


def vercel_turn(body: VercelChatIn) -> AppMessage | Answers:
    """What the SDK wants with this request. Raises InvalidInput."""
    if body.trigger != "submit-message":
        raise InvalidInput(
            "Answers are not written anew here: branch the conversation at the message and send it again.",
            code="not_supported",
        )
    last = body.messages[-1]
    if last.role == "user":
        return AppMessage(_prompt("".join(_spoken(part) for part in last.parts)))
    if last.role == "system":
        raise InvalidInput("body.messages: the last one must be the user's or the assistant's.")
    return _vercel_answers(last)


def _spoken(part: UiPart) -> str:
    if part.type != "text":
        raise InvalidInput(f"body.messages: parts of type {part.type!r} are not taken in a message.")
    return part.text


def _vercel_answers(message: UiMessage) -> Answers:
    results: dict[str, dict[str, Any]] = {}
    decisions: list[Decided] = []
    for part in message.parts:
        if part.tool_call_id is None:
            continue
        if part.state == "output-available" and not part.provider_executed:
            results[part.tool_call_id] = awaited.ok(part.output)
        elif part.state == "output-error" and not part.provider_executed:
            results[part.tool_call_id] = awaited.failed(part.error_text or "The application could not do it.")
        elif part.state == "approval-responded" and part.approval is not None:
            decisions.append(_vercel_decision(part.approval))
    return Answers(results, decisions)


def _vercel_decision(approval: dict[str, Any]) -> Decided:
    approved, reason = approval.get("approved"), approval.get("reason")
    if not isinstance(approved, bool) or not isinstance(reason, str | None):
        raise InvalidInput("body.messages: an approval is answered with `approved` and perhaps a `reason`.")
    return Decided(_uuid(approval.get("id")), approved, reason[:2000] if reason else None)


def ag_ui_turn(body: AgUiRunIn) -> AppMessage | Answers:
    """What the AG-UI client wants with this run. Raises InvalidInput."""
    if body.forwarded_props:
        raise InvalidInput("body.forwardedProps: nothing is passed through to the agent.", code="not_supported")
    said: list[AgUiMessage] = []
    for message in reversed(body.messages):
        if message.role not in ("user", "tool"):
            break
        said.append(message)
    results = {one.tool_call_id: _ag_ui_result(one) for one in said if one.role == "tool" and one.tool_call_id}
    prompts = [_content(one.content) for one in reversed(said) if one.role == "user"]
    if body.resume or (results and not prompts):
        return Answers(results, [_ag_ui_decision(one) for one in body.resume or ()])
    tools = [_tool(one) for one in body.tools] if body.tools else None
    return AppMessage(_prompt("\n\n".join(prompts)), tools, _state(body.state))


def _ag_ui_result(message: AgUiMessage) -> dict[str, Any]:
    return awaited.failed(message.error) if message.error else awaited.ok(_content(message.content))


def _content(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    pieces = cast("list[Any]", content) if isinstance(content, list) else []
    texts = [cast("dict[str, Any]", one).get("text") for one in pieces if isinstance(one, dict)]
    if not texts or len(texts) != len(pieces) or not all(isinstance(text, str) for text in texts):
        raise InvalidInput("body.messages: only text is taken here.")
    return "".join(cast("list[str]", texts))


def _ag_ui_decision(one: ResumeIn) -> Decided:
    if one.status == "cancelled":
        return Decided(_uuid(one.interrupt_id), approve=False)
    payload = _members(one.payload)
    approved, edited, reason = payload.get("approved"), payload.get("editedArgs"), payload.get("reason")
    fits = isinstance(approved, bool) and isinstance(edited, dict | None) and isinstance(reason, str | None)
    if not fits:
        raise InvalidInput("body.resume: the payload does not match the `responseSchema` of the interrupt.")
    arguments = cast("dict[str, Any] | None", edited)
    return Decided(_uuid(one.interrupt_id), bool(approved), reason[:2000] if reason else None, arguments)


def _members(value: Any) -> dict[str, Any]:
    """What an object has; nothing for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _uuid(value: Any) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise InvalidInput("The answer is to no approval that was asked for.") from None


def _state(state: Any) -> dict[str, Any] | None:
    if not state:
        return None
    if not isinstance(state, dict):
        raise InvalidInput("body.state: the state of a conversation is an object.")
    return cast("dict[str, Any]", state)


def _tool(tool: AgUiTool) -> ClientToolIn:
    about: dict[str, Any] = {"name": tool.name, "description": tool.description or tool.name, "untrusted": True}
    return ClientToolIn.model_validate({**about, "parameters": tool.parameters} if tool.parameters else about)


def _prompt(text: str) -> str:
    if not text.strip() or len(text) > MOST_PROMPT:
        raise InvalidInput(f"body.messages: the last message has 1 to {MOST_PROMPT} characters of text.")
    return text
