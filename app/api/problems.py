"""Every error leaves as problem+json (RFC 9457), with a stable code, a sentence, and the request's id."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import pydantic_core
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as RoutingError  # noqa: TID251 - raised by the router, never by us
from starlette.types import Scope

from app.api.openai_errors import openai_error, speaks_openai
from app.models.errors import AppError, Transient

MEDIA_TYPE = "application/problem+json"
_ROUTING_CODES = {404: "not_found", 405: "method_not_allowed"}
_LOCATION_LIMIT = 80

log = structlog.get_logger(__name__)


class FieldError(BaseModel):
    """One field that is wrong: where (`body.message`), what, and a slug of the rule it breaks."""

    loc: str
    msg: str
    type: str


class Problem(BaseModel):
    """RFC 9457 problem details. Clients branch on `code`; `detail` is for people."""

    type: str = Field(examples=["urn:sixlane:problem:not_found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no such conversation."])
    code: str = Field(examples=["not_found"])
    request_id: str | None = Field(examples=["0199f0c2a1b27d6c8f2b6d0f4f1f0a11"])
    errors: list[FieldError] | None = Field(default=None, examples=[None])


def problem(
    scope: Scope,
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    traced: bool = True,
) -> Response:
    """A problem document as a response. `extra` adds members, never replaces the standard ones.

    Where requests are in OpenAI's form, the error is too.
    """
    if speaks_openai(scope):
        return openai_error(status, code, detail, extra=extra, headers=headers)
    document: dict[str, Any] = {
        **(extra or {}),
        "type": f"urn:sixlane:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id_of(scope) if traced else None,
    }
    return Response(
        pydantic_core.to_json(document), status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def from_app_error(scope: Scope, error: AppError) -> Response:
    """The answer that an AppError stands for."""
    return problem(
        scope,
        error.status,
        error.code,
        error.title,
        error.detail,
        extra=error.extra,
        headers=error.headers,
        traced=error.traced,
    )


def unexpected(scope: Scope) -> Response:
    """The answer to a defect of ours: nothing of the cause is told."""
    return problem(
        scope,
        500,
        "internal_error",
        "Internal error",
        "Something went wrong on our side. Quote the request id when you report it.",
    )


def request_id_of(scope: Scope) -> str | None:
    """The id that the edge gave this request."""
    return scope.get("sixlane.request_id")


def install(app: FastAPI) -> None:
    """Answer every expected error of this application with a problem document."""
    app.add_exception_handler(AppError, _app_error)
    app.add_exception_handler(Transient, _transient)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(RoutingError, _routing)


async def _app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    if error.status >= 500:
        log.warning("request_failed", code=error.code, detail=error.detail)
    return from_app_error(request.scope, error)


async def _transient(request: Request, error: Exception) -> Response:
    assert isinstance(error, Transient)
    headers = {"Retry-After": str(max(1, round(error.retry_after or 2)))}
    log.warning("request_failed", code=error.code, detail=error.detail)
    return problem(request.scope, 503, error.code, "Temporarily unavailable", error.detail, headers=headers)


async def _routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, RoutingError)
    code = _ROUTING_CODES.get(error.status_code, "bad_request")
    title = HTTPStatus(error.status_code).phrase
    detail = {
        404: "Nothing is served at this path.",
        405: f"The method {request.method} is not served at this path.",
    }.get(error.status_code, "The request cannot be served.")
    return problem(request.scope, error.status_code, code, title, detail, headers=error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(entry["loc"][:1] == ("path",) for entry in found):
        return problem(request.scope, 404, "not_found", "Not found", "There is no such object.")
    errors = field_errors(found)
    detail = f"{errors[0]['loc']}: {errors[0]['msg']}" if errors else "The request is not valid."
    return problem(request.scope, 422, "invalid_input", "Invalid input", detail, extra={"errors": errors})


def field_errors(found: Iterable[Any]) -> list[dict[str, str]]:
    """Pydantic's errors as `{loc, msg, type}`: what was sent is never repeated."""
    return [
        {
            "loc": ".".join(str(part) for part in entry["loc"])[:_LOCATION_LIMIT],
            "msg": str(entry["msg"]).removeprefix("Value error, "),
            "type": str(entry["type"]),
        }
        for entry in list(found)[:20]
    ]


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route: the problem document for each status, as OpenAPI shows it."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in (400, 401, 403, 413, 415, 421, 422, 429, 500, 503, *statuses)
    }
