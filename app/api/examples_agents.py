"""Example documents of agents."""

from typing import Any

from app.api.examples import AT

AGENT: dict[str, Any] = {
    "name": "assistant",
    "description": "Answers questions, calculates, reads web pages and keeps notes.",
    "version": "3f9a1c20b7de",
    "source": "built_in",
    "instructions": "You are a helpful assistant.",
    "model": None,
    "tools": ["current_time", "calculator"],
    "limits": {"steps": None, "tool_calls": None, "tokens": None, "cost_usd": None, "seconds": None},
    "output_schema": None,
    "policies": {},
    "sub_agents": [],
    "mcp": [],
    "model_settings": {"temperature": None, "top_p": None, "max_tokens": None, "seed": None, "thinking": None},
    "overrides": ["model", "temperature"],
    "context": {"policy": "summarise", "window_tokens": None, "keep_messages": None},
    "memory": "off",
}
OWN_AGENT: dict[str, Any] = {
    **AGENT,
    "name": "support",
    "description": "Answers questions of customers.",
    "source": "workspace",
    "instructions": "Answer in two sentences.",
    "tools": ["calculator"],
    "policies": {"calculator": "ask"},
    "overrides": ["temperature"],
}
AGENT_VERSION: dict[str, Any] = {"version": "3f9a1c20b7de", "current": True, "created_at": AT}
