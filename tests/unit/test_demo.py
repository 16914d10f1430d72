"""The demo model: labelled, never guessing, able to use tools and to stream."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic_ai import RunContext
from pydantic_ai.messages import ModelRequest, PartDeltaEvent, TextPartDelta, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.function import AgentInfo
from pydantic_ai.tools import ToolDefinition
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


STATE = {
    "invoice": {"number": "2026-17", "total": 120, "paid": False, "customer": {"name": "Lovelace Ltd", "city": "Bath"}},
    "view": {"theme": "light", "city": "Rome"},
}


def move(prompt: str, tools: Sequence[ToolDefinition], instructions: str = "") -> Any:
    """What the demo model does next: text, or the calls that it makes."""
    info = AgentInfo(
        function_tools=list(tools),
        allow_text_output=True,
        output_tools=[],
        model_settings=None,
        model_request_parameters=ModelRequestParameters(),
        instructions=instructions,
    )
    model = demo_model(0)
    assert model.function is not None
    response: Any = model.function([ModelRequest([UserPromptPart(prompt)])], info)
    if response.parts[0].part_kind == "text":
        return response.parts[0].content
    return [(part.tool_name, part.args) for part in response.parts]


def beside(prompt: str, *tools: ToolDefinition) -> Any:
    state = f'<application_state version="4">\n{json.dumps(STATE)}\n</application_state>'
    return move(prompt, [ToolDefinition(name="update_context"), *tools], f"Help.\n\n{state}")


@pytest.mark.parametrize(
    ("prompt", "value"),
    [
        ("What is the invoice total?", "invoice total is 120."),
        ("What's the total?", "invoice total is 120."),
        ("Is it late? Which theme is it?", 'view theme is "light".'),
        ("What is the customer's city?", 'invoice customer city is "Bath".'),
    ],
)
def test_tells_what_stands_in_the_application(prompt: str, value: str) -> None:
    assert beside(prompt) == f"Demo model: in the application, {value}"


@pytest.mark.parametrize(
    ("prompt", "operation"),
    [
        ("Set the theme to dark.", {"op": "replace", "path": "/view/theme", "value": "dark"}),
        ("Please change the invoice total to 99.5", {"op": "replace", "path": "/invoice/total", "value": 99.5}),
        ("Mark the invoice paid as true", {"op": "replace", "path": "/invoice/paid", "value": True}),
    ],
)
def test_proposes_the_change_that_was_asked_for(prompt: str, operation: dict[str, Any]) -> None:
    ((tool, arguments),) = beside(prompt)
    assert tool == "update_context"
    assert arguments["patch"] == [operation]
    assert arguments["version"] == 4


@pytest.mark.parametrize("prompt", ["What is the city?", "Set the colour to red.", "What is the invoice worth?", "Hi"])
def test_leaves_alone_what_is_not_clearly_in_the_application(prompt: str) -> None:
    assert "cannot answer" in beside(prompt)


def test_calls_a_tool_of_the_client() -> None:
    schema = {"type": "object", "properties": {"page": {"type": "string"}}, "required": ["page"]}
    tool = ToolDefinition(
        name="open_page", description="Open a page of the application.", parameters_json_schema=schema
    )
    assert beside('Open the page "invoices".', tool) == [("open_page", {"page": "invoices"})]


def test_hands_work_on() -> None:
    properties = {"agent": {"type": "string", "enum": ["bookkeeper", "clerk"]}, "task": {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": ["agent", "task"]}
    delegate = ToolDefinition(name="delegate", description="Hand work on.", parameters_json_schema=schema)
    calculator = next(spec.tool.tool_def for spec in REGISTRY.tools() if spec.name == "calculator")
    said = move("Ask the bookkeeper to calculate 6 * 7.", [calculator, delegate])
    assert said == [("delegate", {"agent": "bookkeeper", "task": "Calculate 6 * 7."})]
    assert "cannot answer" in move("Ask the gardener to water the flowers.", [calculator, delegate])


@pytest.mark.parametrize(
    ("prompt", "when", "order"),
    [
        (
            "Every weekday at 8:00 in Europe/Berlin: which day is it?",
            {"cron": "0 8 * * 1-5", "timezone": "Europe/Berlin"},
            "Which day is it?",
        ),
        ("Remind me to water the plants every friday at 17.", {"cron": "0 17 * * 5"}, "Water the plants"),
        ("Calculate 6 * 7 every 30 minutes", {"every": "30m"}, "Calculate 6 * 7"),
    ],
)
def test_proposes_a_task_where_times_are_named(prompt: str, when: dict[str, str], order: str) -> None:
    tool = ToolDefinition(name="propose_task", description="Propose a task.")
    ((name, arguments),) = move(prompt, [tool])
    assert name == "propose_task"
    assert arguments["when"] == {"timezone": "UTC", **when}
    assert arguments["prompt"].rstrip(".") == order
    assert "cannot answer" in move(prompt, [])
    assert "cannot answer" in move("Every weekday at 8:00.", [tool])
