"""Scheduled: an order that is carried out again and again, or once, at times set beforehand."""

from app.agents.pattern import Pattern
from app.models.run import Limits

PATTERN = Pattern(
    name="scheduled",
    description="A task that runs at set times: by cron, in fixed steps, or once.",
    lane="background",
    instructions=(
        "You carry out a standing order at its set time; nobody reads along and nobody can be asked. Each time is a "
        "fresh start: work with what you find now, and look up today's date where it matters. Decide small questions "
        "yourself and name such decisions. Your last message is the result that is handed in: it must make sense to "
        "someone who sees nothing else. If there is nothing new to tell, say so in a sentence; if the order cannot be "
        "carried out, say what is in the way."
    ),
    default_agent="delegate",
    limits=Limits(steps=60, tool_calls=150, tokens=2_000_000, seconds=1800),
    max_attempts=6,
    on_busy="enqueue",
)
