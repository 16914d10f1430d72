"""What clients of the OpenAI API send: completions, responses, and the pieces that both are made of.

A parameter that would change the answer and that we cannot honour is refused by name. A parameter at its default, or
one that only tells OpenAI something, is let through: it would change nothing here either.
"""

from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from app.models.wire import ExternalUserId, Inbound, Prompt

MOST_ITEMS = 5_000

AgentModel = Annotated[str, Field(min_length=1, max_length=110, examples=["assistant"])]
"""An agent's name, also written `sixlane/<name>`."""

CallId = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(max_length=500_000)]
Metadata = Annotated[dict[str, Annotated[str, Field(max_length=512)]], Field(max_length=16)]
ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$", examples=["get_weather"])]


def _default(*allowed: Any) -> AfterValidator:
    """Only a value that changes nothing."""

    def check(value: Any) -> Any:
        if value is not None and value not in allowed:
            raise ValueError(f"only {' or '.join(repr(one) for one in allowed)} is supported here")
        return value

    return AfterValidator(check)


Told = Annotated[Any, Field(default=None)]
"""A parameter that tells OpenAI something and changes no answer."""


MaxTokens = Annotated[int, Field(ge=1, le=1_000_000)]
Effort = Literal["minimal", "low", "medium", "high"]


class TextPiece(Inbound):
    """A piece of text."""

    type: Literal["text", "input_text", "output_text"]
    text: Text
    annotations: list[Any] | None = None
    logprobs: Annotated[list[Any] | None, _default([])] = None


Content = Text | Annotated[list[TextPiece], Field(max_length=MOST_ITEMS)]
"""Text, whole or in pieces. Images and files are not taken here."""


def text_of(content: Content | None) -> str:
    """The text of a content."""
    if isinstance(content, str):
        return content
    return "".join(piece.text for piece in content or ())


class CalledFunction(Inbound):
    """Name and arguments (JSON text) of a call."""

    name: ToolName
    arguments: Text


class CompletionCall(Inbound):
    """A call that the assistant made."""

    id: CallId
    type: Literal["function"] = "function"
    function: CalledFunction


class SpokenIn(Inbound):
    """A message of the user, or an instruction of the application."""

    role: Literal["user", "system", "developer"]
    content: Content = Field(examples=["What is the capital of France?"])


class AssistantIn(Inbound):
    """An earlier answer."""

    role: Literal["assistant"]
    content: Content | None = None
    tool_calls: list[CompletionCall] | None = None
    refusal: None = None
    annotations: list[Any] | None = None
    audio: None = None
    function_call: None = None


class ToolIn(Inbound):
    """What a function of the client returned."""

    role: Literal["tool"]
    tool_call_id: CallId
    content: Content


CompletionMessage = Annotated[SpokenIn | AssistantIn | ToolIn, Field(discriminator="role")]


class FunctionIn(Inbound):
    """A function that the client carries out itself."""

    name: ToolName
    description: Annotated[str, Field(max_length=4_000)] | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class CompletionTool(Inbound):
    """A tool of the client."""

    type: Literal["function"]
    function: FunctionIn


class StreamOptions(Inbound):
    """`include_usage` adds a last chunk with the usage."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class SchemaIn(Inbound):
    """A JSON schema that the answer shall match."""

    name: Annotated[str, Field(max_length=64)]
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class PlainFormat(Inbound):
    """Text."""

    type: Literal["text"]


class CompletionSchemaFormat(Inbound):
    """Data of a schema."""

    type: Literal["json_schema"]
    json_schema: SchemaIn


class ResponseSchemaFormat(SchemaIn):
    """Data of a schema."""

    type: Literal["json_schema"]


class _Shared(Inbound):
    """Parameters of both."""

    model: AgentModel
    stream: bool | None = None
    metadata: Metadata | None = None
    user: ExternalUserId | None = None
    tool_choice: Annotated[str | dict[str, Any] | None, _default("auto")] = None
    parallel_tool_calls: Annotated[bool | None, _default(True)] = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_logprobs: Annotated[int | None, _default(0)] = None
    service_tier: Annotated[str | None, _default("auto", "default")] = None
    prompt_cache_key: Told = None
    prompt_cache_options: Told = None
    prompt_cache_retention: Told = None
    safety_identifier: Told = None

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: one for name, one in cast("dict[str, Any]", value).items() if one is not None}


class CompletionIn(_Shared):
    """A chat completion: the whole history each time; the last message is the user's, or what functions returned."""

    messages: Annotated[list[CompletionMessage], Field(min_length=1, max_length=MOST_ITEMS)]
    stream_options: StreamOptions | None = None
    tools: Annotated[list[CompletionTool], Field(max_length=128)] | None = None
    response_format: Annotated[PlainFormat | CompletionSchemaFormat, Field(discriminator="type")] | None = None
    max_completion_tokens: MaxTokens | None = None
    max_tokens: MaxTokens | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    reasoning_effort: Effort | None = None
    n: Annotated[int | None, _default(1)] = None
    store: Annotated[bool | None, _default(False)] = None
    frequency_penalty: Annotated[float | None, _default(0)] = None
    presence_penalty: Annotated[float | None, _default(0)] = None
    logit_bias: Annotated[dict[str, Any] | None, _default({})] = None
    logprobs: Annotated[bool | None, _default(False)] = None
    modalities: Annotated[list[str] | None, _default(["text"])] = None
    verbosity: Annotated[str | None, _default("medium")] = None


class MessageItem(Inbound):
    """A message of the conversation."""

    type: Literal["message"] = "message"
    role: Literal["user", "system", "developer", "assistant"]
    content: Content = Field(examples=["What is the capital of France?"])
    id: Told = None
    status: Told = None
    phase: Told = None


class CallItem(Inbound):
    """A call of one of the client's functions, as an earlier response had it."""

    type: Literal["function_call"]
    call_id: CallId
    name: ToolName
    arguments: Text
    id: Told = None
    status: Told = None


class CallOutputItem(Inbound):
    """What the client's function returned."""

    type: Literal["function_call_output"]
    call_id: CallId
    output: Content
    id: Told = None
    status: Told = None


class ServerCallItem(Inbound):
    """A call that the server made itself, as an earlier response had it."""

    type: Literal["mcp_call"]
    id: CallId
    name: ToolName
    arguments: Text
    server_label: Told = None
    output: Text | None = None
    error: Text | None = None
    status: Told = None
    approval_request_id: Told = None


class DecisionItem(Inbound):
    """A person's decision about an approval that an earlier response asked for."""

    type: Literal["mcp_approval_response"]
    approval_request_id: CallId
    approve: bool
    reason: Annotated[str, Field(max_length=2_000)] | None = None
    id: Told = None


def _kind(item: Any) -> str:
    found = item.get("type", "message") if isinstance(item, dict) else getattr(item, "type", "")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return str(found)  # pyright: ignore[reportUnknownArgumentType]


ResponseItem = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[CallItem, Tag("function_call")]
    | Annotated[CallOutputItem, Tag("function_call_output")]
    | Annotated[ServerCallItem, Tag("mcp_call")]
    | Annotated[DecisionItem, Tag("mcp_approval_response")],
    Discriminator(_kind),
]


class ResponseTool(FunctionIn):
    """A function that the client carries out itself."""

    type: Literal["function"]


class TextOptions(Inbound):
    """The form of the answer."""

    format: Annotated[PlainFormat | ResponseSchemaFormat, Field(discriminator="type")] | None = None
    verbosity: Annotated[str | None, _default("medium")] = None


class ReasoningIn(Inbound):
    """How hard the model thinks."""

    effort: Effort | None = None
    summary: Annotated[str | None, _default()] = None


class ConversationRef(Inbound):
    """A conversation by its id."""

    id: Annotated[str, Field(max_length=50)]


class ResponseIn(_Shared):
    """A response: a message to an agent, in a new conversation or in one that goes on.

    `previous_response_id` goes on after that response; `conversation` at the end of a conversation.
    """

    input: Annotated[Prompt | Annotated[list[ResponseItem], Field(min_length=1, max_length=MOST_ITEMS)], Field()]
    instructions: Text | None = Field(default=None, examples=[None])
    previous_response_id: Annotated[str, Field(max_length=60)] | None = Field(default=None, examples=[None])
    conversation: Annotated[str, Field(max_length=50)] | ConversationRef | None = Field(default=None, examples=[None])
    background: bool | None = None
    store: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Annotated[list[ResponseTool], Field(max_length=128)] | None = None
    text: TextOptions | None = None
    max_output_tokens: MaxTokens | None = None
    reasoning: ReasoningIn | None = None
    max_tool_calls: Annotated[int, Field(ge=0, le=10_000)] | None = None
    include: Annotated[list[str] | None, _default([])] = None
    truncation: Annotated[str | None, _default("disabled")] = None
