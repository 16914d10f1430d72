"""Chatbot: a person and an agent take turns, and the person waits for the answer."""

from app.agents.pattern import Pattern
from app.models.run import Limits

PATTERN = Pattern(
    name="chatbot",
    description="A conversation in turns; each message is answered at once, streamed if wanted.",
    lane="interactive",
    instructions=(
        "You are talking with a person who waits for your answer. Answer in the language they write in, directly and "
        "no longer than the question needs. When something is unclear, ask."
    ),
    default_agent="assistant",
    limits=Limits(steps=25, tool_calls=50, tokens=500_000, seconds=300),
    max_attempts=4,
    on_busy="reject",
)
