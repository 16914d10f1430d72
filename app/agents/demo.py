"""The demo model: a few fixed rules behind the interface of a model, for first runs without any key.

It says in every answer that it is the demo model, uses tools when the words of the prompt call for one, and never
guesses: what it has no rule for, it says it cannot answer.
"""

import asyncio
import re
from collections.abc import AsyncIterator

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from app.agents import demo_documents, demo_planning, demo_research, demo_sidekick, demo_tools
from app.agents.demo_arguments import sample
from app.agents.demo_turn import LABEL, Move, Rule, last_turn

RULES: tuple[Rule, ...] = (
    demo_research.rule,
    demo_planning.rule,
    demo_documents.rule,
    demo_sidekick.rule,
    demo_tools.rule,
)
"""Asked in this order; the first that has a move makes it. A new one is a file beside this one and an entry here."""


def demo_model(pause: float = 0.01) -> FunctionModel:
    """The model. Streams word by word with `pause` seconds between two words."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        move = _decide(messages, info)
        return ModelResponse(parts=[TextPart(move)] if isinstance(move, str) else list(move))

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        move = _decide(messages, info)
        if not isinstance(move, str):
            for number, call in enumerate(move):
                arguments = call.args_as_json_str()
                yield {number: DeltaToolCall(call.tool_name, arguments, tool_call_id=call.tool_call_id)}
            return
        for word in re.findall(r"\S+\s*|\s+", move):
            yield word
            await asyncio.sleep(pause)

    return FunctionModel(answer, stream_function=stream, model_name="demo")


def _decide(messages: list[ModelMessage], info: AgentInfo) -> Move:
    for rule in RULES:
        move = rule(messages, info)
        if move is None or (isinstance(move, str) and not info.allow_text_output):
            continue
        return move
    prompt = last_turn(messages).prompt
    if info.allow_text_output:
        return _cannot(prompt, [tool.name for tool in info.function_tools])
    output = info.output_tools[0]
    return [ToolCallPart(output.name, sample(output.parameters_json_schema, _cannot(prompt, [])))]


def _cannot(prompt: str, tools: list[str]) -> str:
    asked = " ".join(prompt.split())
    asked = asked if len(asked) <= 120 else f"{asked[:117]}..."
    said = f'{LABEL} I cannot answer "{asked}" - I follow a few fixed rules and know nothing by myself.'
    if tools:
        said += f" What I can do is use these tools: {', '.join(tools)}."
    return f"{said} For real answers set OPENAI_API_KEY, ANTHROPIC_API_KEY or DEFAULT_MODEL and start again."
