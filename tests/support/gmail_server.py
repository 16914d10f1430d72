"""Gmail's API on loopback: strict about tokens and scopes, one mailbox for each account, faults on demand.

`whose(token)` says what a bearer token opens (an object with `account` and `scopes`), or None: then the answer is 401.
Mount it where `/gmail/` begins. Everything that leaves is in `sent`, so that a test counts mails and not our tables.
"""

import asyncio
import base64
import binascii
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.utils import getaddresses
from typing import Any
from urllib.parse import parse_qs

from support.gmail_box import Box, Fault, Flight, Left, Stored, body_of
from support.google_wire import send_json
from support.request_log import read_body

_SCOPE = "https://www.googleapis.com/auth/gmail."
_READ = ("readonly", "modify")
_WRITE = ("compose", "modify")
_BOTH = ("readonly", "compose", "modify")
_USER = "/gmail/v1/users/me/"


class _No(Exception):
    def __init__(self, status: int, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


@dataclass
class _Asked:
    method: str
    path: str
    query: dict[str, list[str]]
    body: dict[str, Any]
    box: Box = field(default_factory=lambda: Box(""))

    def one(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[0]


class GmailServer:
    """The ASGI application, and the test's own view of it.

    `pace(what)` holds requests, seconds before and after their effect; `flights` are those going on. A sent mail is
    found by its Message-ID only `lag` seconds later.
    """

    def __init__(self, whose: Callable[[str], Any]) -> None:
        self.sent: list[Left] = []
        self.asked: list[tuple[str, str]] = []
        self.refused = 0
        self.faults: list[Fault] = []
        self.lag = 0.0
        self.pace: Callable[[str], tuple[float, float]] = lambda _: (0.0, 0.0)
        self.flights: dict[int, Flight] = {}
        self._whose = whose
        self._boxes: dict[str, Box] = {}
        self._lock = threading.RLock()

    def box(self, account: str) -> Box:
        """The mailbox of an account."""
        with self._lock:
            return self._boxes.setdefault(account, Box(account))

    def fail(self, where: str, **how: Any) -> Fault:
        """Let something go wrong."""
        fault = Fault(where, **how)
        with self._lock:
            self.faults.append(fault)
        return fault

    def times_sent(self) -> Counter[str]:
        """How often a mail has left, by subject."""
        with self._lock:
            return Counter(one.subject for one in self.sent)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raw = await read_body(receive)
        headers = dict(scope["headers"])
        asked = _Asked(
            scope["method"],
            scope["path"],
            parse_qs(scope["query_string"].decode(), keep_blank_values=True),
            json.loads(raw) if raw else {},
        )
        fault = self._fault(f"{asked.method} {asked.path}")
        try:
            if fault is not None:
                await asyncio.sleep(fault.seconds)
            if fault is not None and not fault.after and (fault.cut or fault.status):
                self._break(fault)
            answer = await self._paced(asked, headers.get(b"authorization", b"").decode())
            if fault is not None and fault.after:
                self._break(fault)
        except _No as no:
            error = {"code": no.status, "message": f"No: {no.reason}", "errors": [{"reason": no.reason}]}
            more = [("retry-after", str(no.retry_after))] if no.retry_after is not None else []
            await send_json(send, no.status, {"error": error}, more)
            return
        except ConnectionResetError:
            start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99")]}
            await send(start)
            raise  # the server drops the connection
        if answer is None:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await send_json(send, 200, answer)

    async def _paced(self, asked: _Asked, authorization: str) -> dict[str, Any] | None:
        what = f"{asked.method} {asked.path.removeprefix(_USER)}"
        before, after = self.pace(what)
        access = self._whose(authorization.partition(" ")[2])
        flight = self.flights[id(asked)] = Flight(access.account if access else "", what)
        try:
            await asyncio.sleep(before)
            answer = self._answer(asked, authorization)
            flight.done = True
            await asyncio.sleep(after)
        finally:
            del self.flights[id(asked)]
        return answer

    def _fault(self, what: str) -> Fault | None:
        with self._lock:
            fault = next((one for one in self.faults if one.where in what and one.times > 0), None)
            if fault is not None:
                fault.times -= 1
            return fault

    def _break(self, fault: Fault) -> None:
        if fault.cut:
            raise ConnectionResetError
        raise _No(fault.status, fault.reason, fault.retry_after)

    def _answer(self, asked: _Asked, authorization: str) -> dict[str, Any] | None:
        scheme, _, token = authorization.partition(" ")
        access = self._whose(token) if scheme == "Bearer" else None
        with self._lock:
            if access is None:
                self.refused += 1
                raise _No(401, "authError")
            if not asked.path.startswith(_USER):
                raise _No(404, "notFound")
            asked.box = self.box(access.account)
            what = asked.path.removeprefix(_USER)
            self.asked.append((access.account, f"{asked.method} {what}"))
            return self._route(asked, what.split("/"), frozenset(access.scopes))

    def _route(self, asked: _Asked, parts: list[str], scopes: frozenset[str]) -> dict[str, Any] | None:
        def needs(names: tuple[str, ...]) -> None:
            if not scopes & {f"{_SCOPE}{name}" for name in names}:
                raise _No(403, "insufficientPermissions")

        match (asked.method, *parts):
            case ("GET", "messages"):
                needs(_READ)
                found = asked.box.search(asked.one("q"), asked.query.get("labelIds", []))
                if asked.one("q").startswith("rfc822msgid:"):
                    found = [one for one in found if one.at <= time.time() - self.lag]
                listed = [{"id": one.id, "threadId": one.thread} for one in found]
                return _some("messages", listed, asked)
            case ("POST", "messages", "batchModify"):
                needs(("modify",))
                return self._modify(asked)
            case ("GET", "messages", ident):
                needs(_READ)
                return _there(asked.box.mails, ident).document(asked.one("format", "full"))
            case ("GET", "threads", ident):
                needs(_READ)
                mails = [one for one in asked.box.mails.values() if one.thread == ident]
                if not mails:
                    raise _No(404, "notFound")
                return {"id": ident, "messages": [one.document("full") for one in mails]}
            case ("GET", "labels"):
                needs(_READ)
                own = [{"id": one, "name": name, "type": "user"} for one, name in asked.box.labels.items()]
                return {"labels": [{"id": "INBOX", "name": "INBOX", "type": "system"}, *own]}
            case (method, "drafts", *rest):
                needs(_BOTH if method == "GET" else _WRITE)
                return self._drafts(asked, rest)
        raise _No(404, "notFound")

    def _drafts(self, asked: _Asked, rest: list[str]) -> dict[str, Any] | None:
        box = asked.box
        match (asked.method, *rest):
            case ("GET",):
                drafts = {mail: ident for ident, mail in box.drafts.items()}
                found = [one for one in box.search(asked.one("q"), ["DRAFT"]) if one.id in drafts]
                listed = [{"id": drafts[one.id], "message": {"id": one.id, "threadId": one.thread}} for one in found]
                return _some("drafts", listed, asked)
            case ("POST",):
                raw, thread = _message(asked.body)
                mail = box.add(raw, {"DRAFT"}, thread)
                box.drafts[f"r-{mail.id}"] = mail.id
                return _draft(f"r-{mail.id}", mail, "minimal")
            case ("POST", "send"):
                return self._send(box, str(asked.body.get("id")))
            case ("GET", ident):
                return _draft(ident, box.mails[_there(box.drafts, ident)], asked.one("format", "full"))
            case ("PUT", ident):
                old = box.mails.pop(_there(box.drafts, ident))
                raw, thread = _message(asked.body)
                mail = box.add(raw, {"DRAFT"}, thread or old.thread)
                box.drafts[ident] = mail.id
                return _draft(ident, mail, "minimal")
            case ("DELETE", ident):
                del box.mails[_there(box.drafts, ident)]
                del box.drafts[ident]
                return None
        raise _No(404, "notFound")

    def _send(self, box: Box, draft_id: str) -> dict[str, Any]:
        draft = box.mails.pop(_there(box.drafts, draft_id))
        del box.drafts[draft_id]
        mail = box.add(draft.raw, {"SENT"}, draft.thread)
        parsed = mail.parsed
        named = [str(value) for name in ("To", "Cc", "Bcc") for value in parsed.get_all(name, [])]
        recipients = [address for _, address in getaddresses(named)]
        if not recipients:
            raise _No(400, "invalidArgument")
        body = body_of(parsed).replace("\r\n", "\n").rstrip("\n")
        self.sent.append(Left(box.account, mail.header("Message-ID"), recipients, mail.header("Subject"), body))
        return mail.document("minimal")

    def _modify(self, asked: _Asked) -> None:
        add, remove = set(asked.body.get("addLabelIds", [])), set(asked.body.get("removeLabelIds", []))
        if not (add | remove) <= {"INBOX", "UNREAD", "STARRED", *asked.box.labels}:
            raise _No(400, "invalidArgument")
        for ident in asked.body["ids"]:
            mail = _there(asked.box.mails, ident)
            mail.labels = (mail.labels | add) - remove


def _there(where: dict[str, Any], ident: str) -> Any:
    if ident not in where:
        raise _No(404, "notFound")
    return where[ident]


def _some(name: str, listed: list[dict[str, Any]], asked: _Asked) -> dict[str, Any]:
    shown = listed[: int(asked.one("maxResults", "100"))]
    return {name: shown, "resultSizeEstimate": len(listed)} if shown else {"resultSizeEstimate": 0}


def _draft(ident: str, mail: Stored, form: str) -> dict[str, Any]:
    return {"id": ident, "message": mail.document(form)}


def _message(body: dict[str, Any]) -> tuple[bytes, str | None]:
    try:
        raw = base64.b64decode(body["message"]["raw"], altchars=b"-_", validate=True)
    except (KeyError, TypeError, binascii.Error):
        raise _No(400, "invalidArgument") from None
    parsed = message_from_bytes(raw, policy=policy.default)
    if parsed["From"] is None or parsed["Message-ID"] is None:
        raise _No(400, "invalidArgument")
    return raw, body["message"].get("threadId")
