"""Clients of another workspace."""

import httpx
from fastapi import FastAPI

from app.models.identity import SCOPES
from app.runtime import Runtime
from app.services import keys


async def stranger(app: FastAPI) -> httpx.AsyncClient:
    """A client with every scope of another workspace."""
    runtime: Runtime = app.state.runtime
    async with runtime.database.across() as across:
        workspace = await across.directory.workspace("strangers")
    async with runtime.database.begin(workspace.id) as unit:
        owner = await unit.users.see("stranger", is_owner=True)
        issued = await keys.issue(unit, runtime.peppers[0], name="all", user_id=owner.id, scopes=SCOPES)
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", headers={"X-Api-Key": issued.token})
