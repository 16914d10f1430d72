"""The demo model: labelled, never guessing, able to use tools and to stream."""

from typing import Any

import pytest
from pydantic_ai import RunContext
from pydantic_ai.messages import PartDeltaEvent, TextPartDelta
from support.agent_context import MemoryNotes, agent_context
from support.receiver import receiver

from app.agents.context import AgentContext, Target
from app.agents.demo import demo_model
from app.agents.registry import AgentRegistry

REGISTRY = AgentRegistry()


async def ask(prompt: str, context: AgentContext | None = None, history: Any = None) -> tuple[str, list[str]]:
    """The answer and the names of the tools that were called for it."""
    agent = REGISTRY.build(REGISTRY.get("assistant"), REGISTRY.pattern("chatbot"), model=demo_model(0))
    result = await agent.run(prompt, deps=context or agent_context(), message_history=history)
    called = [
        part.tool_name for message in result.new_messages() for part in message.parts if part.part_kind == "tool-call"
    ]
    return result.output, called


@pytest.mark.parametrize(
    "prompt",
    [
        "What is the capital of France?",
        "Hello",
        "Tell me a joke",
        "Summarise the quarterly report",
        "I was born on 12-05-1990",
        "Write a 5-10 line poem",
        "What time does the train leave?",
        "What day of the week was 3 May 1950?",
        "",
        "\ud83d\ude00",
    ],
)
async def test_says_what_it_is_and_never_guesses(prompt: str) -> None:
    answer, called = await ask(prompt)
    assert answer.startswith("Demo model:")
    assert "cannot answer" in answer
    assert "OPENAI_API_KEY" in answer
    assert called == []


@pytest.mark.parametrize(
    ("prompt", "tools", "holds"),
    [
        ("What is 6 * 7?", ["calculator"], "42"),
        ("What time is it in Asia/Tokyo?", ["current_time"], "21:00:00+09:00"),
        ("What day is today and what is 12*12?", ["current_time", "calculator"], "144"),
        ("Which day is it?", ["current_time"], "weekday"),
        ("what's the time", ["current_time"], "12:00:00"),
        ("Tell me today's date.", ["current_time"], "2026"),
        ("What time is it in Mars/Olympus?", ["current_time"], "no time zone 'Mars/Olympus'"),
        ("recall my notes", ["recall"], "[]"),
        ("Forget 'colour'", ["forget"], "no note"),
    ],
)
async def test_uses_tools_and_tells_what_they_gave(prompt: str, tools: list[str], holds: str) -> None:
    answer, called = await ask(prompt)
    assert answer.startswith("Demo model:")
    assert sorted(called) == sorted(tools)
    assert holds in answer


async def test_remembers_and_recalls() -> None:
    context = agent_context(notes=MemoryNotes())
    await ask("Remember that my favourite colour is blue.", context)
    answer, _ = await ask("What do you remember about my favourite colour?", context)
    assert "blue" in answer


async def test_sends_to_a_named_target() -> None:
    with receiver() as sink:
        target = Target("crm", f"{sink.url}/in", "allow")
        context = agent_context(targets=(target,), allow_hosts=(sink.url.removeprefix("http://"),))
        answer, called = await ask('Send {"lead": "Ada"} to crm', context)
        assert called == ["http_post"]
        assert "200" in answer
        assert sink.log()[0]["body"] == '{"lead": "Ada"}'


async def test_streams_word_by_word() -> None:
    agent = REGISTRY.build(REGISTRY.get("assistant"), REGISTRY.pattern("chatbot"), model=demo_model(0))
    words: list[str] = []

    async def listen(_ctx: RunContext[AgentContext], events: Any) -> None:
        deltas = [event.delta async for event in events if isinstance(event, PartDeltaEvent)]
        words.extend(delta.content_delta for delta in deltas if isinstance(delta, TextPartDelta))

    result = await agent.run("What is 6 * 7 today?", deps=agent_context(), event_stream_handler=listen)
    assert len(words) > 5
    assert result.output.endswith("".join(words))
    assert "42" in result.output
