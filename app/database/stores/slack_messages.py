"""Our messages in Slack: what is to be posted, what stands where, and what others said in between."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, cast, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.models import approvals, slack_messages
from app.database.rows import columns_of
from app.models.ids import new_id
from app.models.slack import MessageKind, Place, SlackMessage

MESSAGE = columns_of(slack_messages, SlackMessage)
_UNSENT: dict[str, Any] = {"sent": 0, "tries": 0, "known": 0, "unsure": False}

_CLAIM = text(
    f"""
WITH heads AS (
    SELECT m.workspace_id, m.id FROM slack_messages m
     WHERE m.workspace_id = :workspace_id AND m.due_at <= app_now()
       AND NOT EXISTS (SELECT FROM slack_messages o
                        WHERE o.workspace_id = m.workspace_id AND o.due_at IS NOT NULL AND o.id < m.id
                          AND o.channel_id = m.channel_id AND o.thread_ts IS NOT DISTINCT FROM m.thread_ts)
     ORDER BY m.due_at LIMIT :room FOR UPDATE OF m SKIP LOCKED)
UPDATE slack_messages m SET due_at = app_now() + make_interval(secs => :lease), updated_at = app_now(),
       state = m.state || jsonb_build_object('tries', coalesce((m.state->>'tries')::int, 0) + 1)
  FROM heads h WHERE m.workspace_id = h.workspace_id AND m.id = h.id
RETURNING {", ".join(f"m.{column.name}" for column in MESSAGE)}
"""
).columns(*MESSAGE)
_SETTLE = text(
    """
UPDATE slack_messages
   SET due_at = CASE WHEN CAST(:wait AS float8) IS NULL THEN NULL ELSE app_now() + make_interval(secs => :wait) END,
       message_ts = coalesce(:message_ts, message_ts), state = state || CAST(:state AS jsonb), updated_at = app_now()
 WHERE workspace_id = :workspace_id AND id = :id AND due_at = :leased
"""
).bindparams(bindparam("state", type_=slack_messages.c.state.type))
_FORGET = text(
    """
DELETE FROM slack_messages WHERE ctid IN (
    SELECT ctid FROM slack_messages
     WHERE workspace_id = :workspace_id AND updated_at < app_now() - make_interval(days => :days)
       AND due_at IS NULL AND kind <> 'card' LIMIT :batch)
"""
)


class SlackMessageStore:
    """Queries over one workspace."""

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self._connection = connection
        self._workspace_id = workspace_id

    async def forget(self, days: int, batch: int) -> int:
        """Forget what was posted more than `days` ago, one batch; how many rows went. Open cards stay."""
        values = {"workspace_id": self._workspace_id, "days": days, "batch": batch}
        return (await self._connection.execute(_FORGET, values)).rowcount

    async def put(self, kind: MessageKind, about_id: UUID, place: Place, state: dict[str, Any]) -> None:
        """Write a message that is to be sent. One about the same that is there is replaced, where it was posted."""
        values = {
            "workspace_id": self._workspace_id,
            "id": new_id(),
            "kind": kind,
            "about_id": about_id,
            "channel_id": place.channel_id,
            "thread_ts": place.thread_ts or None,
            "due_at": func.app_now(),
            "state": {**_UNSENT, **state},
        }
        statement = upsert(slack_messages).values(values)
        merged = slack_messages.c.state.op("||")(statement.excluded.state)
        statement = statement.on_conflict_do_update(
            index_elements=["workspace_id", "kind", "about_id"],
            set_={"due_at": func.app_now(), "state": merged, "updated_at": func.app_now()},
        )
        await self._connection.execute(statement)

    async def reserve(self, about_id: UUID, place: Place) -> bool:
        """Keep the place of a run's answer for something that is shown meanwhile; False when there is one already."""
        statement = (
            upsert(slack_messages)
            .values(
                workspace_id=self._workspace_id,
                id=new_id(),
                kind="answer",
                about_id=about_id,
                channel_id=place.channel_id,
                thread_ts=place.thread_ts or None,
            )
            .on_conflict_do_nothing(index_elements=["workspace_id", "kind", "about_id"])
        )
        return (await self._connection.execute(statement)).rowcount == 1

    async def shown(self, about_id: UUID, message_ts: str) -> bool:
        """Say where the reserved place is; False when the answer itself was written meanwhile."""
        statement = (
            update(slack_messages)
            .where(self._is("answer", about_id), ~slack_messages.c.state.has_key("parts"))
            .values(message_ts=message_ts)
        )
        return (await self._connection.execute(statement)).rowcount == 1

    async def again(self, about_id: UUID) -> bool:
        """Have the start of a written answer posted once more over whatever stands there; False when there is none."""
        statement = (
            update(slack_messages)
            .where(self._is("answer", about_id), slack_messages.c.state.has_key("parts"))
            .values(
                state=slack_messages.c.state.op("||")(text("'{\"over\": true}'::jsonb")),
                due_at=func.coalesce(slack_messages.c.due_at, func.app_now()),
            )
        )
        return (await self._connection.execute(statement)).rowcount == 1

    async def set_aside(self, about_id: UUID) -> UUID | None:
        """Give up the place of a run's answer, so that the answer is posted anew below what comes now.

        The message that stood there is a status from now on; its new name, or None when nothing was posted.
        """
        name = new_id()
        statement = (
            update(slack_messages)
            .where(self._is("answer", about_id))
            .values(kind="status", about_id=name)
            .returning(slack_messages.c.message_ts)
        )
        found = (await self._connection.execute(statement)).one_or_none()
        return name if found is not None and found.message_ts else None

    async def message(self, kind: MessageKind, about_id: UUID) -> SlackMessage | None:
        """The message of that kind about that, or None."""
        found = (await self._connection.execute(select(*MESSAGE).where(self._is(kind, about_id)))).one_or_none()
        return SlackMessage(*found) if found else None

    async def claim(self, *, room: int, lease: float) -> list[SlackMessage]:
        """Take up to `room` due messages for `lease` seconds, of each thread the oldest that is open."""
        given = {"workspace_id": self._workspace_id, "room": room, "lease": lease}
        return [SlackMessage(*row) for row in await self._connection.execute(_CLAIM, given)]

    async def settle(
        self, message: SlackMessage, *, wait: float | None, message_ts: str | None = None, **state: Any
    ) -> bool:
        """Write what became of a claimed message; it is due again after `wait` seconds, or never.

        False when it was written anew meanwhile.
        """
        values = {
            "workspace_id": self._workspace_id,
            "id": message.id,
            "leased": message.due_at,
            "wait": wait,
            "message_ts": message_ts,
            "state": state,
        }
        return (await self._connection.execute(_SETTLE, values)).rowcount == 1

    def _held(self, message: SlackMessage) -> ColumnElement[bool]:
        """The row of a claimed message, as long as nobody else has claimed it or written it anew."""
        own = and_(slack_messages.c.workspace_id == self._workspace_id, slack_messages.c.id == message.id)
        return and_(own, slack_messages.c.due_at == message.due_at)

    async def keep(self, message: SlackMessage, lease_seconds: float) -> datetime | None:
        """Keep a claimed message for that long from now; the new end, or None when it is not this one's any more."""
        statement = (
            update(slack_messages)
            .where(self._held(message))
            .values(due_at=func.app_now() + func.make_interval(0, 0, 0, 0, 0, 0, lease_seconds))
            .returning(slack_messages.c.due_at)
        )
        return (await self._connection.execute(statement)).scalar_one_or_none()

    async def took(self, message: SlackMessage, message_ts: str, sent: int) -> bool:
        """Note that so many parts of a claimed message were posted; False when it was written anew meanwhile."""
        statement = (
            update(slack_messages)
            .where(self._held(message))
            .values(
                message_ts=func.coalesce(slack_messages.c.message_ts, message_ts),
                state=slack_messages.c.state.op("||")(func.jsonb_build_object("sent", sent)),
            )
        )
        return (await self._connection.execute(statement)).rowcount == 1

    async def decided_cards(self, batch: int) -> list[UUID]:
        """Approvals that are decided and whose cards do not say so yet."""
        statement = (
            select(approvals.c.id)
            .join(
                slack_messages,
                and_(
                    slack_messages.c.workspace_id == approvals.c.workspace_id,
                    slack_messages.c.about_id == approvals.c.id,
                ),
            )
            .where(
                slack_messages.c.workspace_id == self._workspace_id,
                slack_messages.c.kind == "card",
                slack_messages.c.due_at.is_(None),
                approvals.c.status != "pending",
            )
            .limit(batch)
        )
        return [row.id for row in await self._connection.execute(statement)]

    async def close_card(self, approval_id: UUID, state: dict[str, Any]) -> bool:
        """Let the card of a decided approval say so; False when another process was first."""
        statement = (
            update(slack_messages)
            .where(self._is("card", approval_id), slack_messages.c.due_at.is_(None))
            .values(
                kind="status",
                state=slack_messages.c.state.op("||")(cast({**_UNSENT, **state}, slack_messages.c.state.type)),
                due_at=func.app_now(),
            )
        )
        return (await self._connection.execute(statement)).rowcount == 1

    async def hear(self, place: Place, who: str, said: str) -> None:
        """Keep what somebody else says in a thread of ours, until its owner speaks again."""
        made = new_id()
        values = {
            "workspace_id": self._workspace_id,
            "id": made,
            "kind": "heard",
            "about_id": made,
            "channel_id": place.channel_id,
            "thread_ts": place.thread_ts or None,
            "state": {"who": who, "said": said},
        }
        await self._connection.execute(insert(slack_messages).values(values))

    async def heard(self, place: Place) -> list[tuple[str, str]]:
        """What others said in a thread since its owner spoke, by whom, in order; each once."""
        statement = (
            delete(slack_messages)
            .where(
                slack_messages.c.workspace_id == self._workspace_id,
                slack_messages.c.kind == "heard",
                slack_messages.c.channel_id == place.channel_id,
                slack_messages.c.thread_ts == (place.thread_ts or None),
            )
            .returning(slack_messages.c.id, slack_messages.c.state)
        )
        rows = sorted((await self._connection.execute(statement)).all(), key=lambda row: row.id)
        return [(row.state["who"], row.state["said"]) for row in rows]

    def _is(self, kind: MessageKind, about_id: UUID) -> Any:
        return and_(
            slack_messages.c.workspace_id == self._workspace_id,
            slack_messages.c.kind == kind,
            slack_messages.c.about_id == about_id,
        )
