"""The mailbox of a run's user: what the mail tools reach, and nothing beyond it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app.agents.mail import (
    MOST_LABELLED,
    Action,
    Draft,
    Labelled,
    Letter,
    Mail,
    MailBox,
    MailProblem,
    Outgoing,
    Reading,
    Sent,
    TooComplex,
)
from app.agents.mail_message import chain_of, message_id, one_line, outgoing, written
from app.agents.mail_payload import MOST_TEXT, addresses, header, letter_of, mail_of
from app.agents.mail_text import Clock
from app.database.connection import Database
from app.integrations import gmail
from app.integrations.gmail import Gmail
from app.integrations.google import GoogleOptions
from app.integrations.vault import Vault
from app.models.connection import MailScope, NotConnected
from app.models.run import Run
from app.services.gmail_account import Account, Gone, Google
from app.services.mail_sending import Sending

MOST_IN_THREAD = 25

_AT_ONCE = 8
_LEAST_TEXT = 300
_READ: tuple[MailScope, ...] = ("read",)
_DRAFT: tuple[MailScope, ...] = ("draft",)
_REPLY: tuple[MailScope, ...] = ("read", "draft")
_LABEL: tuple[MailScope, ...] = ("label",)
_ACTIONS: dict[Action, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "archive": ((), ("INBOX",)),
    "to_inbox": (("INBOX",), ()),
    "mark_read": ((), ("UNREAD",)),
    "mark_unread": (("UNREAD",), ()),
    "star": (("STARRED",), ()),
    "unstar": ((), ("STARRED",)),
}


class Mailboxes:
    """Mailboxes of a process. `options` is None where the operator has not set up Google."""

    def __init__(self, database: Database, vault: Vault, options: GoogleOptions | None) -> None:
        self._google = Google(database, vault, options, Gmail(options.gmail_base_url) if options else None)

    def of(self, run: Run) -> MailBox:
        """The mailbox of the run's user, whoever that is and whether or not one is connected."""
        return UserMail(self._google.database, Account(self._google, run.workspace_id, run.user_id), run)

    def close(self) -> None:
        """Let go of threads and connections."""
        if self._google.gmail is not None:
            self._google.gmail.close()


class UserMail:
    """One user's mailbox, as one run uses it."""

    def __init__(self, database: Database, account: Account, run: Run) -> None:
        self._account = account
        self._run = run
        self._sending = Sending(database, account, run)

    async def search(self, query: str, limit: int) -> list[Mail]:
        found = await self._account.call(_READ, gmail.find(query, limit))
        busy = asyncio.Semaphore(_AT_ONCE)

        async def look(mail_id: str) -> Mail | None:
            async with busy:
                try:
                    return mail_of(await self._account.call(_READ, gmail.listed(mail_id)))
                except (Gone, TooComplex):
                    return None

        mails = await asyncio.gather(*(look(str(one["id"])) for one in found.get("messages", [])[:limit]))
        return [mail for mail in mails if mail is not None]

    async def read(self, mail_id: str, *, whole_thread: bool = False) -> Reading:
        if not whole_thread:
            message = await self._account.call(_READ, gmail.whole(mail_id))
            return Reading((await asyncio.to_thread(_letter, message, Clock(), MOST_TEXT),))
        try:
            found = await self._account.call(_READ, gmail.thread(mail_id))
        except Gone:
            message = await self._account.call(_READ, gmail.listed(mail_id))
            found = await self._account.call(_READ, gmail.thread(str(message["threadId"])))
        return await asyncio.to_thread(_reading, found.get("messages", []))

    async def draft(self, key: str, message: Outgoing) -> Draft:
        token = await self._account.token(_DRAFT)
        return await self._put(key, token.account, message)

    async def reply(self, key: str, mail_id: str, body: str, *, to_all: bool) -> Draft:
        token = await self._account.token(_REPLY)
        original = await self._account.call(_READ, gmail.listed(mail_id))
        to, cc = _recipients(original, token.account, to_all=to_all)
        subject = one_line(header(original, "Subject"))
        message = outgoing(to, subject if subject.lower().startswith("re:") else f"Re: {subject}", body, cc)
        chain = chain_of(header(original, "References"), header(original, "Message-ID"))
        return await self._put(key, token.account, message, chain, str(original.get("threadId", "")))

    async def _put(
        self, key: str, account: str, message: Outgoing, chain: Sequence[str] = (), thread_id: str | None = None
    ) -> Draft:
        ident = message_id(key, account)
        raw = written(message, account, ident, datetime.now(UTC), chain)
        there: list[dict[str, Any]] = []
        if self._run.attempt > 1:  # an earlier attempt may have come this far
            there = (await self._account.call(_DRAFT, gmail.find_drafts(f"rfc822msgid:{ident.strip('<>')}"))).get(
                "drafts", []
            )
        request = gmail.change_draft(there[0]["id"], raw, thread_id) if there else gmail.new_draft(raw, thread_id)
        return Draft(str((await self._account.call(_DRAFT, request))["id"]), message)

    async def taking_part(self, draft_id: str) -> frozenset[str]:
        try:
            message = (await self._account.call(_REPLY, gmail.draft(draft_id)))["message"]
            answers = chain_of("", header(message, "In-Reply-To"))
            if not answers:
                return frozenset()
            found = await self._account.call(_READ, gmail.find(f"rfc822msgid:{answers[-1].strip('<>')}", 1))
            mails = [await self._account.call(_READ, gmail.listed(str(one["id"]))) for one in found.get("messages", [])]
        except (MailProblem, NotConnected):
            return frozenset()
        return frozenset(one for mail in mails for one in addresses(mail, "From", "Reply-To", "To", "Cc"))

    async def send(self, key: str, message: Outgoing, draft_id: str | None) -> Sent:
        return await self._sending.send(key, message, draft_id)

    async def label(self, mail_ids: Sequence[str], actions: Sequence[Action], labels: Sequence[str]) -> Labelled:
        add = [label for action in actions for label in _ACTIONS[action][0]]
        remove = [label for action in actions for label in _ACTIONS[action][1]]
        if both := set(add) & set(remove):
            raise MailProblem(f"These actions undo each other ({', '.join(sorted(both))}).")
        names = await self._label_ids(labels) if labels else {}
        ids = list(dict.fromkeys(mail_ids))[:MOST_LABELLED]
        await self._account.call(_LABEL, gmail.relabel(ids, [*add, *names.values()], remove))
        return Labelled(len(ids), [*add, *names], remove)

    async def _label_ids(self, wanted: Sequence[str]) -> dict[str, str]:
        listed = (await self._account.call(_LABEL, gmail.labels())).get("labels", [])
        own = {str(one["name"]).casefold(): one for one in listed if one.get("type") == "user"}
        unknown = [name for name in wanted if name.casefold() not in own]
        if unknown:
            there = ", ".join(sorted(str(one["name"]) for one in own.values())[:50]) or "none"
            raise MailProblem(f"The mailbox has no label {unknown[0]!r}; it has: {there}.")
        return {str(own[name.casefold()]["name"]): str(own[name.casefold()]["id"]) for name in wanted}


def _letter(message: dict[str, Any], clock: Clock, most: int) -> Letter:
    try:
        return letter_of(message, clock, most)
    except TooComplex as error:
        payload: dict[str, Any] = {**message.get("payload", {}), "parts": [], "body": {}}
        bare: dict[str, Any] = {**message, "payload": payload}
        return replace(letter_of(bare, None, most), notes=(error.detail,))


def _reading(messages: list[dict[str, Any]]) -> Reading:
    """The newest mails of a thread that fit, oldest first; the newest get their room first."""
    clock, room, letters = Clock(), MOST_TEXT, list[Letter]()
    for message in reversed(messages[-MOST_IN_THREAD:]):
        if room < _LEAST_TEXT and letters:
            break
        letters.append(_letter(message, clock, room))
        room -= len(letters[-1].text)
    return Reading(tuple(reversed(letters)), len(messages) - len(letters))


def _recipients(original: dict[str, Any], account: str, *, to_all: bool) -> tuple[list[str], list[str]]:
    """To and Cc of an answer: whoever wrote, or, when that was the account itself, whoever it wrote to."""
    own = account.casefold()
    to = addresses(original, "Reply-To") or addresses(original, "From")
    if [one.casefold() for one in to] == [own]:
        to = addresses(original, "To")
    others = addresses(original, "To", "Cc") if to_all else []
    there = {own, *(one.casefold() for one in to)}
    if not to:
        raise MailProblem("The mail names nobody to answer to.")
    return to, [one for one in others if one.casefold() not in there]
