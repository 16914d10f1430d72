"""Mails that runs of one workspace sent, or began to send."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import mail_sends
from app.database.rows import columns_of
from app.models.mail_send import MailSend

COLUMNS = columns_of(mail_sends, MailSend)


class MailSendStore:
    """Queries over one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def get(self, effect_key: str) -> MailSend | None:
        """The mail of an effect, if one was begun."""
        found = await self._connection.execute(select(*COLUMNS).where(*self._is(effect_key)))
        row = found.one_or_none()
        return MailSend(*row) if row else None

    async def count_since_yesterday(self, account: str) -> int:
        """How many mails of the account were sent or begun in the last 24 hours.

        Nobody else counts or begins mails of this account until this unit ends.
        """
        lock = func.pg_advisory_xact_lock(func.hashtextextended(f"mail_sends:{self._workspace_id}:{account}", 0))
        await self._connection.execute(select(lock))
        statement = select(func.count()).where(
            mail_sends.c.workspace_id == self._workspace_id,
            mail_sends.c.account == account,
            mail_sends.c.status != "failed",
            mail_sends.c.created_at > func.app_now() - text("interval '24 hours'"),
        )
        return (await self._connection.execute(statement)).scalar_one()

    async def begin(self, values: dict[str, Any]) -> tuple[MailSend, bool]:
        """Write that a mail is being sent. Returns the row of its effect, and whether it is a new beginning."""
        statement = (
            insert(mail_sends)
            .values(workspace_id=self._workspace_id, status="sending", **values)
            .on_conflict_do_nothing()
            .returning(*COLUMNS)
        )
        row = (await self._connection.execute(statement)).one_or_none()
        if row is not None:
            return MailSend(*row), True
        there = await self.get(values["effect_key"])
        assert there is not None
        return there, False

    async def again(self, effect_key: str, account: str, draft_id: str | None) -> MailSend:
        """Begin a mail anew that had failed, or that a person wants to be sent once more."""
        return await self._change(
            effect_key, status="sending", account=account, draft_id=draft_id, created_at=func.app_now(), sent_at=None
        )

    async def drafted(self, effect_key: str, draft_id: str) -> MailSend:
        """Note the draft that becomes the mail. If another one was noted before, that one stays."""
        return await self._change(effect_key, draft_id=func.coalesce(mail_sends.c.draft_id, draft_id))

    async def sent(self, effect_key: str) -> MailSend:
        """Note that the mail has left."""
        return await self._change(effect_key, status="sent", sent_at=func.app_now())

    async def failed(self, effect_key: str) -> None:
        """Note that nothing was sent, unless it was after all."""
        statement = update(mail_sends).where(*self._is(effect_key), mail_sends.c.status == "sending")
        await self._connection.execute(statement.values(status="failed"))

    async def _change(self, effect_key: str, **values: Any) -> MailSend:
        statement = update(mail_sends).where(*self._is(effect_key)).values(**values).returning(*COLUMNS)
        return MailSend(*(await self._connection.execute(statement)).one())

    def _is(self, effect_key: str) -> tuple[Any, ...]:
        return mail_sends.c.workspace_id == self._workspace_id, mail_sends.c.effect_key == effect_key
