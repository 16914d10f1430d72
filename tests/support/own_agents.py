"""An agent of your own: `sixlane up --agents own_agents.py`."""

import os

import httpx
from pydantic_ai import Agent, RunContext

from app.agents.context import AgentContext
from app.agents.own import effect

clerk = Agent(
    name="clerk",
    deps_type=AgentContext,
    instructions="You keep the books. Remind customers who owe more than 100 euros.",
)


@clerk.tool_plain
def balance(customer: str) -> int:
    """What a customer owes, in euros."""
    return 10 * len(customer)


@clerk.tool
@effect(approval="ask")
async def remind(ctx: RunContext[AgentContext], customer: str) -> str:
    """Send a customer a reminder."""
    key = ctx.deps.effect_key(ctx.tool_call_id or "")
    async with httpx.AsyncClient() as client:
        await client.post(os.environ["BOOKS_URL"], json={"to": customer}, headers={"Idempotency-Key": key})
    return f"{customer} was reminded."
