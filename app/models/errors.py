"""The two families of errors: what a caller is told, and what the executor tries again."""

from collections.abc import Mapping
from typing import Any, ClassVar


class AppError(Exception):
    """An error that a caller can act on; one handler turns it into problem+json (RFC 9457).

    `code` is a stable slug that clients branch on, `detail` a sentence for a person, `extra` further
    members of the problem document, `headers` further response headers.
    """

    status: ClassVar[int] = 500
    code: str = "internal_error"
    title: ClassVar[str] = "Internal error"
    traced: ClassVar[bool] = True

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})
        if code is not None:
            self.code = code


class BadRequest(AppError):
    """The request cannot be read (400)."""

    status = 400
    code = "bad_request"
    title = "Bad request"


class Unauthorized(AppError):
    """No credential, or one that does not hold (401)."""

    status = 401
    code = "unauthorized"
    title = "Authentication required"

    def __init__(self, detail: str = "A valid API key is required.", **kwargs: Any) -> None:
        super().__init__(detail, **kwargs)
        self.headers.setdefault("WWW-Authenticate", 'Bearer realm="sixlane"')


class WebhookRefused(Unauthorized):
    """A webhook request that is not let in (401): one and the same answer whatever the cause, so that it tells nothing.

    Not even the request's id stands in it; the header has it.
    """

    code = "webhook_unauthorized"
    traced = False

    def __init__(self) -> None:
        super().__init__("The request does not carry a valid signature for this webhook.")


class Forbidden(AppError):
    """The credential holds but does not reach this far (403)."""

    status = 403
    code = "forbidden"
    title = "Forbidden"


class NotFound(AppError):
    """No such object in the caller's workspace (404); the same for a foreign one and one that never was."""

    status = 404
    code = "not_found"
    title = "Not found"


class Conflict(AppError):
    """The object is not in a state that allows this (409)."""

    status = 409
    code = "conflict"
    title = "Conflict"

    def __init__(self, detail: str, **kwargs: Any) -> None:
        super().__init__(detail, **kwargs)
        self.headers.setdefault("x-should-retry", "false")


class Gone(AppError):
    """The object is there but takes nothing any more (410)."""

    status = 410
    code = "gone"
    title = "Gone"


class PayloadTooLarge(AppError):
    """The body is larger than the door takes (413)."""

    status = 413
    code = "payload_too_large"
    title = "Payload too large"


class UnsupportedMediaType(AppError):
    """The body is not of a type that the door reads (415)."""

    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"


class Misdirected(AppError):
    """The Host header names no host of this server (421)."""

    status = 421
    code = "misdirected_request"
    title = "Misdirected request"


class InvalidInput(AppError):
    """The request can be read and is wrong (422). `errors` lists `{loc, msg}` for single fields."""

    status = 422
    code = "invalid_input"
    title = "Invalid input"

    def __init__(self, detail: str, *, errors: list[dict[str, Any]] | None = None, **kwargs: Any) -> None:
        super().__init__(detail, **kwargs)
        if errors:
            self.extra["errors"] = errors


class RateLimited(AppError):
    """The caller has asked too often (429); the same request succeeds after `retry_after` seconds."""

    status = 429
    code = "rate_limited"
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after: int, **kwargs: Any) -> None:
        super().__init__(detail, **kwargs)
        self.headers.setdefault("Retry-After", str(retry_after))


class Unavailable(AppError):
    """A part that the answer needs is away; the same request may succeed later (503)."""

    status = 503
    code = "unavailable"
    title = "Temporarily unavailable"

    def __init__(self, detail: str, *, retry_after: int = 2, **kwargs: Any) -> None:
        super().__init__(detail, **kwargs)
        self.headers.setdefault("Retry-After", str(retry_after))


class RunBroke(AppError):
    """The run that was to answer failed for good (502). It is on the ledger; asking again would pay for it again."""

    status = 502
    code = "run_failed"
    title = "The run failed"

    def __init__(self, detail: str, **kwargs: Any) -> None:
        super().__init__(detail, **kwargs)
        self.headers.setdefault("x-should-retry", "false")


class TookTooLong(RunBroke):
    """The run that is to answer goes on, and the wait for it is over (504)."""

    status = 504
    code = "run_goes_on"
    title = "The run goes on"


class SettingError(Exception):
    """A setting is missing or unsafe; the message names the variable and what to do."""


class Transient(Exception):
    """Something that may work a moment later; the executor retries it. `retry_after` is in seconds."""

    def __init__(self, detail: str, *, code: str = "transient", retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.retry_after = retry_after


class LeaseLost(Exception):
    """Another worker holds the run now, or it has ended: roll back and stop, write nothing."""
