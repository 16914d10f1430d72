"""An agent of your own: `sixlane up --agents own_agents.py`."""

import os

import httpx
from pydantic_ai import Agent, RunContext

from app.agents.context import AgentContext
from app.agents.own import effect

clerk = Agent(name="clerk", instructions="Remind customers who owe more than 100 euros.", deps_type=AgentContext)


@clerk.tool_plain
def balance(customer: str) -> int:
    """What a customer owes, in euros."""
    return 10 * len(customer)


@clerk.tool
@effect(approval="ask")
def remind(ctx: RunContext[AgentContext], customer: str) -> str:
    """Send a customer a reminder."""
    key = {"Idempotency-Key": ctx.deps.effect_key(ctx.tool_call_id or "")}
    httpx.post(os.environ["BOOKS_URL"], json={"to": customer}, headers=key)
    return f"{customer} was reminded."
