"""Sending a mail once. It is drafted, the draft is noted, and sending takes the draft away: no second mail can leave.

A row is written first. Whoever comes back to it, after a crash or beside a slower worker, looks into the mailbox: in
the sent mail for our Message-ID, then for the draft that was noted. The draft still there means that nothing has
left; neither there is what nobody can know, and a person is asked.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from app.agents.mail import MailProblem, Outgoing, Sent
from app.agents.mail_message import chain_of, message_id, read_back, written
from app.agents.mail_payload import header
from app.agents.tool import OutcomeUnknown
from app.database.connection import Database
from app.database.unit import Unit
from app.integrations import gmail
from app.models.connection import MailScope
from app.models.errors import Transient
from app.models.ids import new_id
from app.models.mail_send import MailSend
from app.models.run import Run
from app.services.gmail_account import Account, Gone

MOST_A_DAY = 20
SEND: tuple[MailScope, ...] = ("send",)
_LOOKS = (0.3, 0.7, 1.5)
"""Gmail finds a mail a moment after it was sent: seconds between looks, where it should be there."""


class Sending:
    """Sends mails of one run from the account of its user."""

    def __init__(self, database: Database, account: Account, run: Run) -> None:
        self._database = database
        self._account = account
        self._run = run

    async def send(self, key: str, message: Outgoing, draft_id: str | None) -> Sent:
        """Send exactly this message, once for a key. Raises OutcomeUnknown, and what `Account.call` raises."""
        token = await self._account.token(SEND)
        row, fresh = await self._begin(key, token.account, draft_id)
        if row.status == "sent":
            return Sent(row.message_id, "", again=True)
        if row.account != token.account:
            raise OutcomeUnknown(f"The mail was begun from {row.account}, which is not the connected account any more.")
        if not fresh and (found := await self._find_sent(row)) is not None:
            return await self._finish(row, found, again=True)
        try:
            row = await self._write(row, message, fresh=fresh)
            await self._compare(row, message)
            return await self._let_go(row)
        except Gone:
            return await self._explain(row)
        except MailProblem:
            await self._failed(row)
            raise

    # What the ledger knows

    async def _begin(self, key: str, account: str, draft_id: str | None) -> tuple[MailSend, bool]:
        async with self._database.begin(self._run.workspace_id) as unit:
            row = await unit.mail_sends.get(key)
            if row is not None and row.status != "failed":
                repeat = await self._to_repeat(unit, row)
                return await unit.mail_sends.again(key, account, None) if repeat else row, False
            if await unit.mail_sends.count_since_yesterday(account) >= MOST_A_DAY:
                raise MailProblem(
                    f"{account} has sent {MOST_A_DAY} mails through here within a day; that is the limit."
                )
            if row is not None:
                return await unit.mail_sends.again(key, account, draft_id), False
            return await unit.mail_sends.begin(
                {
                    "id": new_id(),
                    "user_id": self._run.user_id,
                    "run_id": self._run.id,
                    "effect_key": key,
                    "account": account,
                    "message_id": message_id(key, account),
                    "draft_id": draft_id,
                }
            )

    async def _to_repeat(self, unit: Unit, row: MailSend) -> bool:
        """Whether a person looked into it since the mail was begun, and wants it to be sent (once) more."""
        call_id = row.effect_key.split(":", 2)[2]
        return any(
            one.kind == "unknown_outcome" and one.decision == "repeat" and one.created_at > row.created_at
            for one in await unit.approvals.of_run(self._run.id)
            if one.tool_call_id == call_id and row.status == "sending"
        )

    async def _finish(self, row: MailSend, found: dict[str, Any], *, again: bool = False) -> Sent:
        async with self._database.begin(self._run.workspace_id) as unit:
            await unit.mail_sends.sent(row.effect_key)
        return Sent(str(found.get("id", "")), str(found.get("threadId", "")), again=again)

    async def _failed(self, row: MailSend) -> None:
        async with self._database.begin(self._run.workspace_id) as unit:
            await unit.mail_sends.failed(row.effect_key)

    # What the mailbox knows

    async def _find_sent(self, row: MailSend) -> dict[str, Any] | None:
        found = await self._account.call(SEND, gmail.find(f"rfc822msgid:{row.message_id.strip('<>')}", 1, ["SENT"]))
        return next(iter(found.get("messages", [])), None)

    async def _write(self, row: MailSend, message: Outgoing, *, fresh: bool) -> MailSend:
        """Make sure that there is a draft with exactly these words, and that the row names it."""
        draft_id = row.draft_id
        if draft_id is None and not fresh:
            draft_id = await self._find_draft(row)
        if draft_id is None:
            raw = self._raw(row, message)
            made = (await self._account.call(SEND, gmail.new_draft(raw, None)))["id"]
        else:
            standing = await self._standing(draft_id, fresh=fresh)
            raw = self._raw(row, message, _answers(standing["message"]))
            thread = standing["message"].get("threadId")
            made = (await self._account.call(SEND, gmail.change_draft(draft_id, raw, thread)))["id"]
        async with self._database.begin(self._run.workspace_id) as unit:
            row = await unit.mail_sends.drafted(row.effect_key, made)
        if row.draft_id != made:  # somebody else was as far as this, a moment before
            await self._account.call(SEND, gmail.drop_draft(made))
        return row

    async def _standing(self, draft_id: str, *, fresh: bool) -> dict[str, Any]:
        try:
            return await self._account.call(SEND, gmail.draft(draft_id))
        except Gone:
            if fresh:
                raise MailProblem("There is no such draft in the mailbox; nothing was sent.") from None
            raise

    async def _find_draft(self, row: MailSend) -> str | None:
        found = await self._account.call(SEND, gmail.find_drafts(f"rfc822msgid:{row.message_id.strip('<>')}"))
        return next((one["id"] for one in found.get("drafts", [])), None)

    def _raw(self, row: MailSend, message: Outgoing, answers: Sequence[str] = ()) -> str:
        return written(message, row.account, row.message_id, datetime.now(UTC), answers)

    async def _compare(self, row: MailSend, message: Outgoing) -> None:
        """Look at what Gmail holds, once more, in the last moment: nothing else than what was allowed goes out."""
        assert row.draft_id is not None
        held = await self._account.call(SEND, gmail.draft(row.draft_id, raw=True))
        _, words = read_back(str(held["message"].get("raw", "")))
        if words.digest != message.digest:
            raise MailProblem("The draft in Gmail says something else than what was allowed; nothing was sent.")

    async def _let_go(self, row: MailSend) -> Sent:
        assert row.draft_id is not None
        try:
            return await self._finish(row, await self._account.call(SEND, gmail.send_draft(row.draft_id)))
        except Transient:
            if (found := await self._find_sent(row)) is not None:
                return await self._finish(row, found)
            raise  # the next attempt finds the draft, or the mail, or asks

    async def _explain(self, row: MailSend) -> Sent:
        """The draft is gone: it was sent, by another attempt at this call, or somebody threw it away."""
        for pause in (*_LOOKS, None):
            if (found := await self._find_sent(row)) is not None:
                return await self._finish(row, found, again=True)
            if pause is not None:
                await asyncio.sleep(pause)
        raise OutcomeUnknown("The draft is gone from the mailbox and the mail is not among the sent ones.")


def _answers(message: dict[str, Any]) -> list[str]:
    return chain_of(header(message, "References"), header(message, "In-Reply-To"))
