"""The ways to run an agent, one file each."""

from app.agents.pattern import Pattern
from app.agents.patterns import chatbot, delegation, triggered

PATTERNS: tuple[Pattern, ...] = (chatbot.PATTERN, delegation.PATTERN, triggered.PATTERN)
"""Every pattern; a new one is a file here and an entry in this tuple."""
