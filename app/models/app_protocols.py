"""What applications send that speak the Vercel AI SDK's protocol or AG-UI; only what is new in it counts."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from app.models.wire import Inbound

MOST_MESSAGES = 5_000


class _Camel(Inbound):
    model_config = ConfigDict(alias_generator=to_camel)


class UiPart(BaseModel):
    """A part of a message. The client keeps more in it than anybody here needs."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)

    type: Annotated[str, Field(max_length=200)]
    text: Annotated[str, Field(max_length=500_000)] = ""
    tool_call_id: str | None = None
    state: str | None = None
    output: Any = None
    error_text: str | None = None
    provider_executed: bool | None = None
    approval: dict[str, Any] | None = None


class UiMessage(BaseModel):
    """A message as the client holds it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    role: Literal["system", "user", "assistant"]
    parts: Annotated[list[UiPart], Field(max_length=MOST_MESSAGES)] = []


class VercelChatIn(_Camel):
    """What the SDK's chat transport posts. The server keeps the history, so only the last message is read."""

    id: Annotated[str, Field(max_length=200)] | None = None
    messages: Annotated[list[UiMessage], Field(min_length=1, max_length=MOST_MESSAGES)]
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    message_id: Annotated[str, Field(max_length=200)] | None = None


class AgUiMessage(BaseModel):
    """A message as the client holds it."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)

    role: str
    content: Any = None
    tool_call_id: str | None = None
    error: str | None = None


class AgUiTool(BaseModel):
    """A tool that the client carries out."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
    description: Annotated[str, Field(max_length=2_000)] = ""
    parameters: dict[str, Any] | None = None


class ResumeIn(BaseModel):
    """The answer to an interrupt."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)

    interrupt_id: Annotated[str, Field(max_length=100)]
    status: Literal["resolved", "cancelled"]
    payload: Any = None


class AgUiRunIn(_Camel):
    """The input of an AG-UI run. The server keeps the history: only what comes after its last answer is read."""

    thread_id: Annotated[str, Field(min_length=1, max_length=200)]
    run_id: Annotated[str, Field(min_length=1, max_length=200)]
    protocol_version: Annotated[str, Field(max_length=20)] | None = None
    parent_run_id: Annotated[str, Field(max_length=200)] | None = None
    state: Any = None
    messages: Annotated[list[AgUiMessage], Field(max_length=MOST_MESSAGES)] = []
    tools: Annotated[list[AgUiTool], Field(max_length=32)] | None = None
    context: Annotated[list[Any], Field(max_length=0)] | None = None
    forwarded_props: dict[str, Any] | None = None
    resume: Annotated[list[ResumeIn], Field(max_length=100)] | None = None
