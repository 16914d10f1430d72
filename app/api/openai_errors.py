"""Errors on the OpenAI-compatible routes: the one shape that clients of that API read, and no other."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import pydantic_core
from fastapi import Response
from pydantic import BaseModel, Field
from starlette.types import Scope

PREFIX = "/v1/"

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class OpenAIError(BaseModel):
    """What went wrong. `param` names the parameter, `code` is a stable slug."""

    message: str = Field(examples=["There is no agent 'nobody'."])
    type: str = Field(examples=["invalid_request_error"])
    param: str | None = Field(examples=["model"])
    code: str | None = Field(examples=["model_not_found"])


class OpenAIErrorOut(BaseModel):
    """An error in OpenAI's form."""

    error: OpenAIError


def speaks_openai(scope: Scope) -> bool:
    """Whether the request is one to the OpenAI-compatible routes, also to one that there is not."""
    return str(scope.get("path", "")).startswith(PREFIX)


def openai_error(
    status: int,
    code: str,
    detail: str,
    *,
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The error as a response. What we call 422 is 400 there; further members of the problem stay beside it."""
    status = 400 if status == 422 else status
    members = dict(extra or {})
    return Response(
        pydantic_core.to_json({"error": error_of(status, code, detail, members)}),
        status_code=status,
        media_type="application/json",
        headers=dict(headers or {}),
    )


def error_of(status: int, code: str, detail: str, members: dict[str, Any] | None = None) -> dict[str, Any]:
    """The error itself, as it also stands in a stream."""
    rest = dict(members or {})
    fields: list[dict[str, Any]] = rest.pop("errors", None) or []
    param = rest.pop("param", None)
    if fields:
        param = param or str(fields[0]["loc"]).removeprefix("body.")
        if fields[0].get("type") == "extra_forbidden":
            code, detail = "unsupported_parameter", f"The parameter {param!r} is not supported."
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {**rest, "message": detail, "type": kind, "param": param, "code": code}


def openai_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route: the error for each status, as OpenAPI shows it."""
    return {
        status: {"description": HTTPStatus(status).phrase, "model": OpenAIErrorOut}
        for status in (400, 401, 403, 413, 415, 421, 422, 429, 500, 503, *statuses)
    }


def openai_answers(
    status: int, example: Any, *failures: int, stream: str | None = None
) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route: its answer with an example, as a stream too where there is one, and its errors."""
    content: dict[str, Any] = {"application/json": {"example": example}}
    if stream is not None:
        content["text/event-stream"] = {"example": stream}
    return {**openai_errors(*failures), status: {"description": HTTPStatus(status).phrase, "content": content}}
