"""How mail tools answer when the mailbox cannot be used, or can and did not do it."""

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic_ai import RunContext, ToolFailed
from pydantic_ai.tools import ToolDefinition

from app.agents.context import AgentContext
from app.agents.mail import MailBox, MailProblem
from app.models.connection import NotConnected, ReconnectNeeded
from app.models.errors import AppError

NOT_CONNECTED = "not_connected"
"""The status of an answer that says: the person has to connect an account first, or to allow more."""

Answer = dict[str, Any]


async def offered(ctx: RunContext[AgentContext], definition: ToolDefinition) -> ToolDefinition | None:
    """The tool, where there can be a mailbox: the operator has set up Google."""
    return definition if ctx.deps.mail is not None else None


async def answered(context: AgentContext, work: Callable[[MailBox], Awaitable[Answer]]) -> Answer:
    """What the work with the mailbox came to. A missing connection is an answer, for the person to act on.

    Raises ToolFailed for what the model should hear of, and ReconnectNeeded, which ends the run.
    """
    if context.mail is None:
        raise ToolFailed("There is no mailbox to work with here.")
    try:
        return await work(context.mail)
    except NotConnected as error:
        return {"status": NOT_CONNECTED, "missing": list(error.missing), "say": error.detail}
    except ReconnectNeeded:
        raise
    except (MailProblem, AppError) as error:
        raise ToolFailed(error.detail) from error
