"""Who a request is for: users of a workspace, and the owner of the machine in local mode."""

from uuid import UUID

from app.database.connection import Database
from app.database.unit import Unit
from app.models.errors import Forbidden, NotFound
from app.models.identity import SCOPES, Principal

WORKSPACE = "default"
OWNER = "owner"


async def local_owner(database: Database) -> Principal:
    """The keyless owner of local mode, in the first workspace; both are created on first sight."""
    async with database.across() as unit:
        workspace = await unit.directory.workspace(WORKSPACE)
    async with database.begin(workspace.id) as unit:
        owner = await unit.users.see(OWNER, is_owner=True)
    return Principal("local", f"user:{owner.id}", workspace.id, owner.id, frozenset(SCOPES))


async def subject(unit: Unit, principal: Principal, user_id: str | None) -> UUID:
    """The user whom the client means by `user_id` (its own id of a person), created on first sight.

    Without one it is the principal's own user. Raises Forbidden when the principal may not act for that person.
    """
    if user_id is None:
        return principal.user_id
    own = await unit.users.get(principal.user_id)
    if own is not None and own.external_id == user_id:
        return own.id
    if principal.bound_to_user:
        raise Forbidden("This key stands for one user and cannot act for another.", code="user_bound_key")
    if not principal.may("users:act_as"):
        raise Forbidden(
            "Acting for another user needs the scope users:act_as.",
            code="missing_scope",
            extra={"required_scope": "users:act_as"},
        )
    return (await unit.users.see(user_id)).id


async def filtered(unit: Unit, principal: Principal, user_id: str | None) -> tuple[UUID | None, bool]:
    """The one user whose objects a list shows (None: all of the workspace), and whether that is nobody.

    A user-bound key sees its own user's objects only. Asking for somebody creates nobody.
    """
    own = principal.user_id if principal.bound_to_user else None
    if user_id is None:
        return own, False
    found = await unit.users.known_as(user_id)
    return (found.id, own is not None and own != found.id) if found else (None, True)


def check_visible(principal: Principal, owner_id: UUID, what: str) -> None:
    """Raise NotFound for an object of a user whom a user-bound key does not stand for."""
    if principal.bound_to_user and owner_id != principal.user_id:
        raise NotFound(f"There is no such {what}.")
