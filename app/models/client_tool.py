"""Tools of the client: declared with a conversation, called by its agent, answered by the application."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from app.models.wire import Inbound, JsonObject

MOST_TOOLS = 32
MOST_RESULTS = 32
ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
CallId = Annotated[str, StringConstraints(min_length=1, max_length=255)]
ClientApproval = Literal["allow", "ask"]


def _no_arguments() -> dict[str, Any]:
    return {"type": "object", "properties": {}, "additionalProperties": False}


class ClientToolIn(Inbound):
    """A tool that the client carries out.

    `parameters` is the JSON Schema of its arguments, an object. A call that is not answered within `timeout_seconds`
    fails. `approval` says whether a person is asked before the client is; without it, one is when the run has read text
    of other people. `untrusted` says that what the client answers holds such text.
    """

    name: ToolName = Field(examples=["open_page"])
    description: Annotated[str, StringConstraints(min_length=1, max_length=2000)] = Field(
        examples=["Open a page of the shop in front of the person."]
    )
    parameters: JsonObject = Field(default_factory=_no_arguments)
    timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    approval: ClientApproval | None = Field(default=None, examples=[None])
    untrusted: bool = False


ClientTools = Annotated[list[ClientToolIn], Field(max_length=MOST_TOOLS, examples=[[]])]


class ToolResultIn(Inbound):
    """What became of one call: its `content`, any JSON, or the `error` that the agent is told."""

    tool_call_id: CallId = Field(examples=["call_1"])
    content: Any = Field(default=None, examples=[{"opened": True}])
    error: Annotated[str, StringConstraints(min_length=1, max_length=4000)] | None = Field(
        default=None, examples=[None]
    )

    @model_validator(mode="after")
    def _one_way(self) -> "ToolResultIn":
        if ("content" in self.model_fields_set) is (self.error is not None):
            raise ValueError("give either content or error")
        return self


class ToolResultsIn(Inbound):
    """Answers to calls that a run waits for. `stream` follows the run from there."""

    results: Annotated[list[ToolResultIn], Field(min_length=1, max_length=MOST_RESULTS)]
    stream: bool = False

    @model_validator(mode="after")
    def _each_once(self) -> "ToolResultsIn":
        ids = [one.tool_call_id for one in self.results]
        if len(set(ids)) != len(ids):
            raise ValueError("one call is answered twice")
        return self
