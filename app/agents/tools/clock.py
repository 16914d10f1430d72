"""The tool `current_time`: date and time in any zone."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field
from pydantic_ai import ModelRetry, RunContext, Tool

from app.agents.context import AgentContext
from app.agents.tool import ToolSpec


async def current_time(
    ctx: RunContext[AgentContext],
    timezone: Annotated[str, Field(max_length=64)] = "UTC",
) -> dict[str, str]:
    """Tell the current date and time, and which day today is.

    Args:
        ctx: The run.
        timezone: An IANA time zone, such as "Europe/Berlin". UTC when left out.
    """
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ModelRetry(f"There is no time zone {timezone!r}; use an IANA name such as Europe/Berlin.") from error
    now = ctx.deps.now().astimezone(zone)
    return {"time": now.isoformat(timespec="seconds"), "weekday": now.strftime("%A"), "timezone": timezone}


TOOL = ToolSpec(tool=Tool(current_time, max_retries=2), scope="Reads the clock.")
