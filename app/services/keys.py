"""API keys: made once, shown once, checked on every request, revoked at once."""

import base64
import binascii
import hashlib
import hmac
import secrets
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.database.connection import Database
from app.database.unit import Unit
from app.models.errors import Forbidden, NotFound, Unauthorized
from app.models.identity import SCOPES, ApiKey, KeyCreate, KeyCreated, KeyOut, Principal
from app.models.ids import new_id
from app.services import users
from app.services.idempotency import Once, earlier, settle

PREFIX = "sl"
_ASKED_FOR = frozenset({"users:act_as", "agents:write"})
"""What a key has only if it was asked for: to speak for others, and to change what everybody's runs do."""

ORDINARY_SCOPES = tuple(scope for scope in SCOPES if scope not in _ASKED_FOR and not scope.endswith(":manage"))
CACHE_SECONDS = 4.0
"""How long a checked key is believed; a revocation bites everywhere within this and a request."""
_CACHE_SIZE = 10_000


@dataclass(frozen=True, slots=True)
class Issued:
    """A new key as stored, and the token that its holder sends."""

    key: ApiKey
    token: str


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode().rstrip("=").lower()


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def split_token(token: str) -> tuple[UUID, str] | None:
    """Id and secret of a token `sl_<id>_<secret>_<checksum>`; None when it is not one."""
    parts = token.split("_")
    if len(parts) != 4 or parts[0] != PREFIX or _checksum(token.rpartition("_")[0]) != parts[3]:
        return None
    try:
        raw = base64.b32decode(parts[1].upper() + "=" * (-len(parts[1]) % 8))
    except binascii.Error:
        return None
    return (UUID(bytes=raw), parts[2]) if len(raw) == 16 else None


def hash_secret(secret: str, pepper: bytes) -> bytes:
    """The keyed hash under which a secret is stored. A fast hash is right: the secret has 256 random bits."""
    return hmac.digest(pepper, secret.encode(), hashlib.sha256)


async def issue(
    unit: Unit,
    pepper: bytes,
    *,
    name: str,
    user_id: UUID,
    user_bound: bool = False,
    scopes: Sequence[str] = ORDINARY_SCOPES,
    expires_in_days: int | None = None,
) -> Issued:
    """Make a key in the unit's workspace. The token cannot be shown again."""
    key_id, secret = new_id(), _base32(secrets.token_bytes(32))
    head = f"{PREFIX}_{_base32(key_id.bytes)}"
    body = f"{head}_{secret}"
    row = await unit.keys.add(
        key_id,
        user_id=user_id,
        user_bound=user_bound,
        name=name,
        prefix=head,
        secret_hash=hash_secret(secret, pepper),
        scopes=[scope for scope in SCOPES if scope in scopes],
        expires_in_days=expires_in_days,
    )
    return Issued(row, f"{body}_{_checksum(body)}")


async def create(
    unit: Unit, principal: Principal, pepper: bytes, wanted: KeyCreate, *, once: Once | None = None
) -> KeyCreated:
    """Make the key that the principal asks for; it cannot hold more than its maker.

    A repeated request gets the key that the first one made, without its secret. Raises Forbidden for a scope or a
    user that the maker does not reach.
    """
    existing = await earlier(unit, once, new_id())
    if existing is not None:
        return await _shown_before(unit, existing)
    scopes = [s for s in ORDINARY_SCOPES if principal.may(s)] if wanted.scopes is None else list(wanted.scopes)
    missing = [scope for scope in scopes if not principal.may(scope)]
    if missing:
        raise Forbidden(
            f"A key cannot hold a scope that its maker lacks: {', '.join(missing)}.",
            code="missing_scope",
            extra={"required_scope": missing[0]},
        )
    issued = await issue(
        unit,
        pepper,
        name=wanted.name,
        user_id=await users.subject(unit, principal, wanted.user_id),
        user_bound=wanted.user_id is not None or principal.bound_to_user,
        scopes=scopes,
        expires_in_days=wanted.expires_in_days,
    )
    await settle(unit, once, issued.key.id)
    shown = await show(unit, [issued.key])
    return KeyCreated(**dict(shown[0]), key=issued.token)


async def _shown_before(unit: Unit, key_id: UUID) -> KeyCreated:
    row = await unit.keys.get(key_id)
    if row is None:
        raise NotFound("The API key of this Idempotency-Key is gone.")
    return KeyCreated(**dict((await show(unit, [row]))[0]), key=None)


async def bootstrap(database: Database, pepper: bytes) -> Issued | None:
    """Make the first workspace, its owner and a key that may do everything; None when there is a key already."""
    owner = await users.local_owner(database)
    async with database.begin(owner.workspace_id) as unit:
        await unit.users.lock(owner.user_id)
        if await unit.keys.page(limit=1):
            return None
        return await issue(unit, pepper, name="owner", user_id=owner.user_id, scopes=SCOPES)


async def page(unit: Unit, *, limit: int, after: UUID | None) -> list[ApiKey]:
    """Keys of the workspace, the newest first."""
    return await unit.keys.page(limit=limit, after=after)


async def revoke(unit: Unit, key_id: UUID) -> KeyOut:
    """Revoke a key for good. Raises NotFound."""
    row = await unit.keys.revoke(key_id)
    if row is None:
        raise NotFound("There is no such API key.")
    return (await show(unit, [row]))[0]


async def show(unit: Unit, rows: list[ApiKey]) -> list[KeyOut]:
    """Keys as clients see them."""
    names = await unit.users.names([row.user_id for row in rows])
    return [
        KeyOut(
            id=row.id,
            name=row.name,
            prefix=row.prefix,
            scopes=row.scopes,
            user_id=names[row.user_id],
            user_bound=row.user_bound,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            last_used_at=row.last_used_at,
            created_at=row.created_at,
        )
        for row in rows
    ]


class KeyChecker:
    """Tells whom a token stands for. Believes a checked token for a few seconds without asking the ledger."""

    def __init__(self, database: Database, peppers: Sequence[bytes]) -> None:
        self._database = database
        self._peppers = tuple(peppers)
        self._known: dict[bytes, tuple[float, Principal]] = {}
        self._salt = secrets.token_bytes(16)

    def known(self, token: str) -> Principal | None:
        """The principal of a token that was checked a moment ago, without asking the ledger."""
        known = self._known.get(self._name(token))
        return known[1] if known is not None and known[0] > time.monotonic() else None

    async def principal(self, token: str) -> Principal:
        """The principal of a token. Raises Unauthorized for one that is unknown, revoked or expired."""
        split = split_token(token)
        if split is None:
            raise Unauthorized
        known = self.known(token)
        if known is not None:
            return known
        until = time.monotonic() + CACHE_SECONDS
        principal = await self._look_up(*split)
        if len(self._known) >= _CACHE_SIZE:
            self._known.clear()
        self._known[self._name(token)] = (until, principal)
        return principal

    def _name(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode(), key=self._salt, digest_size=16).digest()

    def forget(self) -> None:
        """Believe nothing any more; the next request of every key asks the ledger."""
        self._known.clear()

    async def _look_up(self, key_id: UUID, secret: str) -> Principal:
        async with self._database.across() as unit:
            found = await unit.directory.api_key(key_id)
            key, now = found or (None, None)
            # An unknown id costs the same comparison as a wrong secret.
            stored = key.secret_hash if key else b"\0" * 32
            matches = [hmac.compare_digest(stored, hash_secret(secret, pepper)) for pepper in self._peppers]
            if key is None or now is None or not any(matches) or key.revoked_at is not None:
                raise Unauthorized
            if key.expires_at is not None and key.expires_at <= now:
                raise Unauthorized
            if not matches[0]:
                await unit.sealed.rehash(key.id, hash_secret(secret, self._peppers[0]))
            await unit.directory.key_used(key.id)
        return Principal(
            "api_key", f"key:{key.id}", key.workspace_id, key.user_id, frozenset(key.scopes), key.user_bound
        )
