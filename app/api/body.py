"""The one strict JSON reader: what it lets through is safe to store, hash and answer with."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, cast

from fastapi import Request
from starlette.requests import ClientDisconnect

from app.models.errors import BadRequest, InvalidInput, PayloadTooLarge, UnsupportedMediaType

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_KEYS = 10_000
LEFT_BYTES = 1024 * 1024
LEFT_SECONDS = 1.0
"""How much of what is too large is still read, and for how long, before it is refused."""
INT_MIN, INT_MAX = -(2**63), 2**63 - 1

_JSON_TYPE = re.compile(r"application/(?:json|[a-z0-9!#$&^_.+-]+\+json)\s*(?:;\s*charset\s*=\s*\"?utf-?8\"?\s*)?;?\s*")
_SURROGATE_OR_NUL = re.compile("[\x00\ud800-\udfff]")


class _RefusedError(Exception):
    """Carries a problem out of the parser's hooks."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RefusedError("duplicate_key", "An object in the body names the same key twice.")
    return members


def _integer(digits: str) -> int:
    if len(digits) > 20 or not INT_MIN <= (number := int(digits)) <= INT_MAX:
        raise _RefusedError("number_out_of_range", "An integer in the body does not fit into 64 bits.")
    return number


def _float(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise _RefusedError("number_out_of_range", "A number in the body is too large.")
    return number


def _constant(_name: str) -> Any:
    raise _RefusedError("number_out_of_range", "NaN and Infinity are not JSON.")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def read_json(raw: bytes) -> Any:
    """The value that the bytes stand for.

    Raises BadRequest for what is not JSON in UTF-8, InvalidInput for JSON that is refused: repeated keys, NaN and
    Infinity, numbers beyond 64 bits, more than 64 levels or 10,000 keys, NUL and lone surrogates.
    """
    try:
        value = _DECODER.decode(_text(raw))
        _bounds(raw, value)
    except _RefusedError as refused:
        raise InvalidInput(refused.detail, code=refused.code) from None
    except json.JSONDecodeError as error:
        detail = f"The body is not valid JSON: {error.msg.split(':')[0]} at character {error.pos}."
        raise BadRequest(detail, code="invalid_json") from None
    except RecursionError:
        raise InvalidInput(f"The body nests deeper than {MAX_DEPTH} levels.", code="too_deep") from None
    return value


def _text(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8.", code="invalid_json") from None
    if text.startswith("\ufeff"):
        raise BadRequest("The body starts with a byte order mark.", code="invalid_json")
    return text


def _bounds(raw: bytes, value: Any) -> None:
    """Walk the value only when a count of bytes cannot already tell that it is within bounds."""
    shallow = raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH
    few = raw.count(b":") <= MAX_KEYS
    if shallow and few and b"\\u" not in raw:
        return
    keys = 0
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        keys += sum(len(cast("dict[str, Any]", node)) for node in level if isinstance(node, dict))
        if keys > MAX_KEYS:
            raise _RefusedError("too_many_keys", f"The body has more than {MAX_KEYS} keys.")
        level = _inside(level)
    if any(isinstance(node, dict | list) for node in level):
        raise _RefusedError("too_deep", f"The body nests deeper than {MAX_DEPTH} levels.")
    _inside(level)


def _inside(level: list[Any]) -> list[Any]:
    """What the containers of one level hold; checks the strings on the way."""
    deeper: list[Any] = []
    for node in level:
        if isinstance(node, dict):
            members = cast("dict[str, Any]", node)
            deeper.extend(members)
            deeper.extend(members.values())
        elif isinstance(node, list):
            deeper.extend(cast("list[Any]", node))
        elif isinstance(node, str) and _SURROGATE_OR_NUL.search(node):
            raise _RefusedError("invalid_text", "A text in the body holds NUL or half of a surrogate pair.")
    return deeper


async def read_body(request: Request, limit: int) -> bytes:
    """The raw bytes of the body. Raises PayloadTooLarge as soon as more than `limit` bytes are announced or sent."""
    announced = request.headers.get("content-length", "")
    size = int(announced[:20]) if announced.isdigit() else 0
    arriving = request.stream()
    if size > limit:
        if size <= limit + LEFT_BYTES and "expect" not in request.headers:
            await _drop(arriving)
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in arriving:
            size += len(chunk)
            if size > limit:
                await _drop(arriving)
                raise _too_large(limit)
            chunks.append(chunk)
    except ClientDisconnect:
        raise BadRequest("The client closed the connection before the body was complete.") from None
    return b"".join(chunks)


async def _drop(arriving: AsyncIterator[bytes]) -> None:
    """Read the rest of a body that is a little too large, and throw it away.

    A connection that is closed on unread bytes is reset, and the answer may be lost with it (RFC 9112, 9.6).
    """
    left = LEFT_BYTES
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(LEFT_SECONDS):
            async for chunk in arriving:
                left -= len(chunk)
                if left < 0:
                    return


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {limit} bytes.", headers={"Connection": "close"})


def check_type(request: Request) -> None:
    """Raise UnsupportedMediaType unless the body is announced as plain, unencoded JSON in UTF-8."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise UnsupportedMediaType("A content encoding is not accepted; send the JSON as it is.")
    declared = request.headers.getlist("content-type")
    if len(declared) != 1 or not _JSON_TYPE.fullmatch(declared[0].strip().lower()):
        raise UnsupportedMediaType("The body must be JSON: send Content-Type: application/json.")


async def load(request: Request) -> None:
    """Read, check and parse the body, and leave bytes and value where the request hands them out again."""
    raw = await read_body(request, getattr(request.app.state, "max_body_bytes", MAX_BYTES))
    request._body = raw  # pyright: ignore[reportPrivateUsage]
    if raw:
        check_type(request)
        request._json = read_json(raw)  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
