"""The ways to run an agent, one file each."""

from app.agents.pattern import Pattern
from app.agents.patterns import chatbot, delegation, research, scheduled, sidekick, triggered

PATTERNS: tuple[Pattern, ...] = (
    chatbot.PATTERN,
    sidekick.PATTERN,
    delegation.PATTERN,
    scheduled.PATTERN,
    triggered.PATTERN,
    research.PATTERN,
)
"""Every pattern; a new one is a file here and an entry in this tuple."""
