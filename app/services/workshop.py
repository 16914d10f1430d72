"""What every attempt of a process shares."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.agents.context import TaskPlanner
from app.agents.llm import ModelSource
from app.agents.registry import AgentRegistry
from app.database.connection import Database
from app.integrations.http import OutboundGuard
from app.integrations.search import WebSearch
from app.models.run import Run
from app.services.file_room import FileRoom

if TYPE_CHECKING:
    from app.agents.mail import MailBox


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every attempt of a process shares. `context_bytes` is the most that a conversation's context may have."""

    database: Database
    registry: AgentRegistry
    models: ModelSource
    outbound: OutboundGuard
    mail: Callable[[Run], "MailBox"] | None = None
    planner: Callable[[Run], TaskPlanner] | None = None
    files: FileRoom | None = None
    search: WebSearch | None = None
    context_bytes: int = 65_536
