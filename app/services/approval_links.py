"""Links in mails by which a person decides an approval without a key: each works once, for one approval.

A token exists only in the mail that carries it; it is made when that is sent. Whatever is wrong with a link, the
answer is the same.
"""

import base64
import binascii
import hashlib
import secrets
from uuid import UUID

from app.database.connection import Database
from app.database.unit import Unit
from app.models.approval import DECISIONS, Approval, DecisionIn
from app.models.delivery import Delivery
from app.models.errors import Conflict, InvalidInput, NotFound
from app.services import approvals

PATH = "/approvals/link"
_SECRET_BYTES = 32
_LENGTH = 64


async def lines_for(database: Database, delivery: Delivery, base_url: str | None) -> str:
    """What a mail that tells of a waiting run says at its end: a new link for each decision that is open still.

    Empty for every other delivery: only the address that a person named for the task's mail gets links.
    """
    if delivery.channel != "email" or delivery.event != "run.waiting" or not base_url:
        return ""
    ids = [UUID(one) for one in delivery.content["data"].get("approval_ids", [])]
    async with database.begin(delivery.workspace_id) as unit:
        made = [await _link(unit, approval_id, base_url) for approval_id in ids]
    links = [link for link in made if link is not None]
    return "".join(f"\n\nLook at it and decide (works once): {link}" for link in links)


async def _link(unit: Unit, approval_id: UUID, base_url: str) -> str | None:
    token = base64.urlsafe_b64encode(unit.workspace_id.bytes + secrets.token_bytes(_SECRET_BYTES)).decode()
    if not await unit.approval_links.add(approval_id, _hash(token)):
        return None
    return f"{base_url.rstrip('/')}{PATH}/{token}"


async def look(database: Database, token: str) -> Approval:
    """The approval that a link decides. Changes nothing: mail scanners follow links. Raises NotFound."""
    async with database.begin(_workspace_of(token)) as unit:
        approval_id = await unit.approval_links.find(_hash(token))
        return await _open(unit, approval_id)


async def decide(database: Database, token: str, decision: str) -> Approval:
    """Decide by a link, which is used up. Raises NotFound, also where somebody else has decided."""
    async with database.begin(_workspace_of(token)) as unit:
        used = await unit.approval_links.use(_hash(token))
        row = await _open(unit, used[1] if used else None)
        if used is None or decision not in offered(row):
            raise _nothing()
        wanted = DecisionIn.model_validate({"decision": decision})
        try:
            return await approvals.settle(unit, row, wanted, decided_by=f"link:{used[0]}")
        except (Conflict, InvalidInput):
            raise _nothing() from None


def offered(row: Approval) -> list[str]:
    """The decisions that a link can make: all but writing other arguments, which needs a key or Slack."""
    order = ("approve", "happened", "deny", "skip", "repeat")
    return [decision for decision in order if decision in DECISIONS[row.kind]]


async def _open(unit: Unit, approval_id: UUID | None) -> Approval:
    row = await unit.approvals.get(approval_id) if approval_id is not None else None
    if row is None or row.status != "pending":
        raise _nothing()
    return row


def _nothing() -> NotFound:
    return NotFound("This link is not valid, or not any more.", code="approval_link_not_valid")


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _workspace_of(token: str) -> UUID:
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise _nothing() from None
    if len(token) != _LENGTH or len(raw) != 16 + _SECRET_BYTES:
        raise _nothing()
    return UUID(bytes=raw[:16])
