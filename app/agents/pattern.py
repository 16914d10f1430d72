"""A pattern: one of the ways to run an agent. It decides lane, words of guidance and default limits."""

from dataclasses import dataclass

from app.models.run import Lane, Limits, OnBusy


@dataclass(frozen=True, slots=True)
class Pattern:
    """A way to run an agent.

    `instructions` are added to the agent's own. `limits` hold where neither agent nor order say otherwise, and
    `max_attempts` counts first try and retries. `on_busy` is what happens while another run holds the conversation.
    `shares_state` gives the agent the conversation's context to read and to change.
    """

    name: str
    description: str
    lane: Lane
    instructions: str
    default_agent: str
    limits: Limits
    max_attempts: int
    on_busy: OnBusy
    shares_state: bool = False
