"""Gmail's API as one account's token opens it: google-api-python-client in threads of its own, with deadlines.

Its batches do not follow another endpoint and its transport has no deadline, so neither is used: every request goes
through one httpx client, which keeps connections, follows no redirect, and reads no more than it may.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, cast

import httpx

Request = Callable[[Any], Any]
"""Makes a request out of the API's `users` resource."""

_ME = "me"
_THREADS = 16
_SECONDS = 20.0
_MOST_BYTES = 30_000_000
_LISTED = (
    "id,threadId,labelIds,snippet,internalDate,"
    "payload(headers,mimeType,filename,parts(mimeType,filename,parts(mimeType,filename)))"
)


class GmailError(Exception):
    """A request that did not succeed. `status` is None when there was no answer; `reason` is Google's word for it.

    `too_large` marks an answer that was not read because it is too long or nested too deep.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        reason: str = "",
        retry_after: float | None = None,
        too_large: bool = False,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.too_large = too_large


class Gmail:
    """The API at one address, for any number of accounts. Safe to share; `close` ends its connections."""

    def __init__(self, base_url: str, *, seconds: float = _SECONDS, most_bytes: int = _MOST_BYTES) -> None:
        self._base_url = base_url.rstrip("/") + "/"
        self._seconds = seconds
        self._most = most_bytes
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="gmail")

    async def call(self, token: str, request: Request) -> dict[str, Any]:
        """Carry out one request, once, and give its answer. Raises GmailError."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._execute, token, request)

    def close(self) -> None:
        """Let go of threads and connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if "_client" in self.__dict__:
            self._client.close()

    @cached_property
    def _client(self) -> httpx.Client:
        return httpx.Client(timeout=httpx.Timeout(self._seconds, connect=5), follow_redirects=False)

    @cached_property
    def _users(self) -> Any:
        from googleapiclient import discovery  # half a second, and few processes ever need it

        build = cast("Any", discovery).build
        options = {"api_endpoint": self._base_url}
        return build("gmail", "v1", static_discovery=True, http=object(), client_options=options).users()

    def _execute(self, token: str, request: Request) -> dict[str, Any]:
        from googleapiclient.errors import HttpError

        wire = _Wire(self._client, token, time.monotonic() + self._seconds, self._most)
        try:
            answer: Any = request(self._users).execute(http=wire, num_retries=0)
        except HttpError as error:
            raise _refused(error) from None
        except httpx.HTTPError as error:
            raise GmailError(f"Gmail gave no answer: {type(error).__name__}.") from error
        except RecursionError:
            raise GmailError("The answer is nested too deep.", too_large=True) from None
        except ValueError as error:
            raise GmailError("Gmail's answer cannot be read.", status=502) from error
        return cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}


class _Wire:
    """What google-api-python-client sends one request through, in the shape of `httplib2.Http`."""

    def __init__(self, client: httpx.Client, token: str, deadline: float, most: int) -> None:
        self._client = client
        self._token = token
        self._deadline = deadline
        self._most = most

    def request(
        self, uri: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> tuple[Any, bytes]:
        from httplib2 import Response

        sent = {**(headers or {}), "authorization": f"Bearer {self._token}", "user-agent": "Sixlane"}
        with self._client.stream(method, uri, content=body, headers=sent) as answer:
            content = bytearray()
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > self._most:
                    raise GmailError("The answer is too long.", too_large=True)
                if time.monotonic() > self._deadline:
                    raise GmailError("Gmail was too slow.")
            return Response({**answer.headers, "status": str(answer.status_code)}), bytes(content)


def _refused(error: Any) -> GmailError:
    """Google's error document as a GmailError."""
    try:
        told: Any = json.loads(error.content)["error"]
        errors: Any = told.get("errors") or [{}]
        message, reason = str(told.get("message", "")), str(errors[0].get("reason", told.get("status", "")))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        message, reason = "", ""
    wait = str(error.resp.get("retry-after", ""))
    status = int(error.resp.status)
    return GmailError(
        (message or f"Gmail answered {status}.")[:300],
        status=status,
        reason=reason,
        retry_after=float(wait) if wait.isdigit() else None,
    )


# Requests


def find(query: str, limit: int, labels: Sequence[str] = ()) -> Request:
    """The newest mails that match the query and have all of the labels."""
    return lambda users: users.messages().list(userId=_ME, q=query, maxResults=limit, labelIds=list(labels) or None)


def listed(mail_id: str) -> Request:
    """What a list shows of a mail: headers, labels and the names of its parts, no content."""
    return lambda users: users.messages().get(userId=_ME, id=mail_id, format="full", fields=_LISTED)


def whole(mail_id: str) -> Request:
    """A mail in full."""
    return lambda users: users.messages().get(userId=_ME, id=mail_id, format="full")


def thread(thread_id: str) -> Request:
    """All mails of a thread in full."""
    return lambda users: users.threads().get(userId=_ME, id=thread_id, format="full")


def find_drafts(query: str) -> Request:
    """Drafts that match the query."""
    return lambda users: users.drafts().list(userId=_ME, q=query, maxResults=5)


def draft(draft_id: str, *, raw: bool = False) -> Request:
    """A draft, parsed or as it would go over the wire."""
    return lambda users: users.drafts().get(userId=_ME, id=draft_id, format="raw" if raw else "full")


def new_draft(raw: str, thread_id: str | None) -> Request:
    """Put a draft into the mailbox; `raw` is the message in base64url."""
    return lambda users: users.drafts().create(userId=_ME, body={"message": _message(raw, thread_id)})


def change_draft(draft_id: str, raw: str, thread_id: str | None) -> Request:
    """Replace what a draft says."""
    return lambda users: users.drafts().update(userId=_ME, id=draft_id, body={"message": _message(raw, thread_id)})


def send_draft(draft_id: str) -> Request:
    """Send a draft. It is gone from the drafts by that, so it cannot be sent again."""
    return lambda users: users.drafts().send(userId=_ME, body={"id": draft_id})


def drop_draft(draft_id: str) -> Request:
    """Throw a draft away."""
    return lambda users: users.drafts().delete(userId=_ME, id=draft_id)


def labels() -> Request:
    """The labels of the mailbox."""
    return lambda users: users.labels().list(userId=_ME)


def relabel(mail_ids: Sequence[str], add: Sequence[str], remove: Sequence[str]) -> Request:
    """Put labels on mails and take others from them, all by id."""
    body = {"ids": list(mail_ids), "addLabelIds": list(add), "removeLabelIds": list(remove)}
    return lambda users: users.messages().batchModify(userId=_ME, body=body)


def _message(raw: str, thread_id: str | None) -> dict[str, str]:
    return {"raw": raw, "threadId": thread_id} if thread_id else {"raw": raw}
