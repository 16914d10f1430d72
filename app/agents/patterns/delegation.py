"""Delegation: an order that an agent carries out in the background, with nobody to ask meanwhile."""

from app.agents.pattern import Pattern
from app.models.run import Limits

PATTERN = Pattern(
    name="delegation",
    description="A task handed over: it runs in the background, its result is stored and announced.",
    lane="background",
    instructions=(
        "You carry out a task on your own; nobody reads along and nobody can be asked. Work until the task is done, "
        "decide small questions yourself and name such decisions. Your last message is the result that is handed in: "
        "it must make sense to someone who sees nothing else. If the task cannot be done, say what is in the way."
    ),
    default_agent="delegate",
    limits=Limits(steps=60, tool_calls=150, tokens=2_000_000, seconds=1800),
    max_attempts=6,
    on_busy="enqueue",
)
