"""Every door, in the order of the documentation. A new one is a file here and an entry in this tuple."""

from fastapi import APIRouter
from fastapi.routing import APIRoute

from app.api import (
    ag_ui,
    agent_runs,
    agents,
    api_keys,
    approval_links,
    approvals,
    branches,
    connections,
    contexts,
    conversations,
    deliveries,
    docs,
    files,
    health,
    memories,
    messages,
    openai_completions,
    openai_models,
    openai_responses,
    runs,
    schedules,
    slack,
    tasks,
    tool_results,
    usage,
    vercel_ai,
    webhooks,
)

ROUTERS: tuple[APIRouter, ...] = (
    conversations.router,
    contexts.router,
    messages.router,
    branches.router,
    tasks.router,
    webhooks.router,
    schedules.router,
    runs.router,
    files.router,
    tool_results.router,
    approvals.router,
    approval_links.router,
    connections.router,
    deliveries.router,
    slack.router,
    vercel_ai.router,
    ag_ui.router,
    openai_models.router,
    openai_completions.router,
    openai_responses.router,
    memories.router,
    usage.router,
    agent_runs.router,
    agents.router,
    api_keys.router,
    health.router,
    docs.router,
)


def routes() -> list[APIRoute]:
    """Every route of every door."""
    return [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
