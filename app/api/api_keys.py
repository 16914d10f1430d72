"""API keys: made, listed and revoked."""

from fastapi import APIRouter, Response, status

from app.api.deps import ManageKeys, ObjectId, OnceDep, RuntimeDep, UnitDep, mark
from app.api.examples import KEY, KEY_CREATED, answers, page
from app.api.pages import Paging, page_of
from app.api.route import StrictRoute
from app.models.identity import KeyCreate, KeyCreated, KeyOut
from app.models.page import Page
from app.services import keys

router = APIRouter(route_class=StrictRoute, tags=["api keys"])


@router.post("/api-keys", status_code=status.HTTP_201_CREATED, responses=answers(201, KEY_CREATED))
async def create_key(
    body: KeyCreate, unit: UnitDep, principal: ManageKeys, runtime: RuntimeDep, once: OnceDep, response: Response
) -> KeyCreated:
    """Make an API key. `key` is shown this once."""
    made = await keys.create(unit, principal, runtime.peppers[0], body, once=once)
    mark(response, f"/api-keys/{made.id}", replayed=made.key is None)
    return made


@router.get("/api-keys", responses=answers(200, page(KEY)))
async def list_keys(unit: UnitDep, principal: ManageKeys, query: Paging) -> Page[KeyOut]:
    """List API keys, revoked ones too, the newest first."""
    return await page_of(
        principal.workspace_id,
        query,
        lambda limit, after: keys.page(unit, limit=limit, after=after),
        lambda rows: keys.show(unit, rows),
    )


@router.post("/api-keys/{key_id}/revoke", responses=answers(200, KEY, 404))
async def revoke_key(key_id: ObjectId, unit: UnitDep, _principal: ManageKeys) -> KeyOut:
    """Revoke an API key for good; every process refuses it within five seconds."""
    return await keys.revoke(unit, key_id)


@router.delete("/api-keys/{key_id}", responses=answers(200, KEY, 404))
async def delete_key(key_id: ObjectId, unit: UnitDep, _principal: ManageKeys) -> KeyOut:
    """Revoke an API key; its row stays for the record."""
    return await keys.revoke(unit, key_id)
