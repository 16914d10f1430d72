"""What every rule of the demo model looks at: the last thing that was said, and what tools have given since."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic_ai.messages import ModelMessage, ModelRequest, TextContent, ToolCallPart, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo

LABEL = "Demo model:"
"""What every answer of the demo model begins with."""

Move = str | Sequence[ToolCallPart]
"""The model's next step: an answer, or tools to call (an output tool among them, for a structured answer)."""

Rule = Callable[[list[ModelMessage], AgentInfo], Move | None]
"""Looks at the conversation and what the agent offers; None when it has nothing to say to it."""


@dataclass(frozen=True)
class Turn:
    """The last thing that the user said, and what tools have given since, oldest first."""

    prompt: str
    results: list[ToolReturnPart]


def last_turn(messages: Sequence[ModelMessage]) -> Turn:
    """The turn that the model is asked to go on with."""
    results: list[ToolReturnPart] = []
    for message in reversed(messages):
        if not isinstance(message, ModelRequest):
            continue
        results += [part for part in reversed(message.parts) if isinstance(part, ToolReturnPart)]
        said = [part for part in message.parts if isinstance(part, UserPromptPart)]
        if said:
            return Turn(_text(said[-1]), results[::-1])
    return Turn("", results[::-1])


def _text(part: UserPromptPart) -> str:
    if isinstance(part.content, str):
        return part.content
    return "\n".join(item for item in part.content if isinstance(item, str))


def documents_of(messages: Sequence[ModelMessage]) -> list[str]:
    """The texts of the documents that came with what was said last, as they stand in the prompt."""
    for message in reversed(messages):
        if isinstance(message, ModelRequest):
            said = [part.content for part in message.parts if isinstance(part, UserPromptPart)]
            if said:
                pieces = () if isinstance(said[-1], str) else said[-1]
                return [piece.content for piece in pieces if isinstance(piece, TextContent)]
    return []
