"""Memories: the notes that agents keep for a user, listed and deleted."""

from typing import Annotated

from fastapi import APIRouter, Query, status
from pydantic import Field

from app.api.deps import ObjectId, ReadConversations, UnitDep, WriteConversations
from app.api.examples import answers, page
from app.api.examples_memories import FORGOTTEN, MEMORY
from app.api.pages import PageQuery, page_of
from app.api.problems import errors
from app.api.route import StrictRoute
from app.models.memory import Forgotten, MemoryOut
from app.models.page import Page
from app.services import memories

router = APIRouter(route_class=StrictRoute, tags=["memories"])

_User = Annotated[str, Query(min_length=1, max_length=255, examples=["owner"])]
_Agent = Annotated[str | None, Query(min_length=1, max_length=100, examples=[None])]


class MemoryQuery(PageQuery):
    """Which memories to list."""

    user_id: str | None = Field(default=None, min_length=1, max_length=255, examples=[None])
    agent: str | None = Field(default=None, min_length=1, max_length=100, examples=[None])


@router.get("/memories", responses=answers(200, page(MEMORY)))
async def list_memories(
    unit: UnitDep, principal: ReadConversations, query: Annotated[MemoryQuery, Query()]
) -> Page[MemoryOut]:
    """List what agents remember, the newest first; of one user, or of one agent's own notes."""
    return await page_of(
        unit.workspace_id,
        query,
        lambda limit, after: memories.page(
            unit, principal, limit=limit, after=after, user_id=query.user_id, agent=query.agent
        ),
        lambda rows: memories.show(unit, rows),
    )


@router.delete("/memories/{memory_id}", status_code=status.HTTP_204_NO_CONTENT, responses=errors(404))
async def delete_memory(memory_id: ObjectId, unit: UnitDep, principal: WriteConversations) -> None:
    """Delete one memory for good."""
    await memories.forget(unit, principal, memory_id)


@router.delete("/memories", responses=answers(200, FORGOTTEN))
async def delete_memories(
    unit: UnitDep, principal: WriteConversations, user_id: _User, agent: _Agent = None
) -> Forgotten:
    """Delete everything that is remembered for a user, or what one agent keeps for them."""
    return Forgotten(deleted=await memories.forget_all(unit, principal, user_id, agent))
