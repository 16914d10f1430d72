"""Cuts of a history: no tool result without its call, whatever is cut where."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage
from support.ledger import check_history

from app.agents.fitting import SENT_BYTES, Lead, chunks, clip, clipped, cut_for, rate_of, size_of, transcript

SIZES = st.integers(0, 400)


@st.composite
def histories(draw: st.DrawFn) -> list[ModelMessage]:
    """Turns with any number of rounds of tools, up to a request that is about to be sent."""
    messages: list[ModelMessage] = []
    calls = 0
    for _ in range(draw(st.integers(1, 5))):
        messages.append(ModelRequest(parts=[UserPromptPart(content="p" * draw(SIZES))]))
        for _ in range(draw(st.integers(0, 3))):
            ids = [f"call_{calls + number}" for number in range(draw(st.integers(1, 3)))]
            calls += len(ids)
            messages.append(ModelResponse(parts=[ToolCallPart("tool", {"n": "a" * draw(SIZES)}, one) for one in ids]))
            messages.append(ModelRequest(parts=[ToolReturnPart("tool", "r" * draw(SIZES), one) for one in ids]))
        messages.append(ModelResponse(parts=[TextPart("t" * draw(SIZES))]))
    return [*messages, ModelRequest(parts=[UserPromptPart(content="now")])]


@given(histories(), st.integers(0, 4_000), st.none() | st.integers(1, 10), st.data())
def test_pairs_are_never_split(
    messages: list[ModelMessage], budget: int, keep: int | None, data: st.DataObject
) -> None:
    most = data.draw(st.integers(0, len(messages) - 1))
    place = cut_for(messages, 0, most, budget, keep)
    assert 0 <= place <= most
    kept = messages[place:]
    lead = Lead("what was").message(messages[:place], kept) if place else None
    sent = [lead, *kept] if lead else kept
    check_history(ModelMessagesTypeAdapter.dump_python(sent, mode="json"))
    if place:
        assert isinstance(sent[0], ModelRequest)
    if most == len(messages) - 1:
        fits = sum(size_of(message) for message in kept) <= budget and (keep is None or len(kept) <= keep)
        assert fits or len(kept) == 1


@given(histories(), st.integers(100, 2_000))
def test_what_is_read_for_a_summary_is_all_of_it_in_bounds(messages: list[ModelMessage], most: int) -> None:
    pieces = chunks(transcript(messages, most), most)
    assert all(len(piece.encode()) <= most + 120 for piece in pieces)
    assert sum(piece.count("Person: ") for piece in pieces) == sum(
        isinstance(part, UserPromptPart) for message in messages for part in message.parts
    )


def answered(tokens: int, **more: Any) -> ModelResponse:
    return ModelResponse(parts=[TextPart("x" * 100)], usage=RequestUsage(input_tokens=tokens), **more)


def test_the_rate_is_what_the_provider_counted() -> None:
    prompt = ModelRequest(parts=[UserPromptPart(content="é" * 4_984)])
    assert rate_of([prompt, answered(2_500)], 16) == 0.25
    assert rate_of([prompt, answered(2_500), prompt, answered(5_000, metadata={SENT_BYTES: 10_000})], 0) == 0.5
    assert rate_of([prompt, answered(1)], 0) == 0.1
    assert rate_of([prompt], 0) == 0.34


def test_a_result_that_is_too_long_is_cut_for_the_request_alone() -> None:
    long = ModelRequest(parts=[ToolReturnPart("tool", {"page": "ü" * 5_000}, "call_1")])
    short = clipped(long, 1_000)
    assert size_of(short) < 1_100
    assert size_of(long) > 10_000
    assert "left out" in clip("ab" * 500, 100)
