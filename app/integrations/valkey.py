"""Connections to Valkey or Redis, with deadlines that do not swallow a cancellation."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import TimeoutError as NoAnswer

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 2.0


def redis_pool(url: str) -> ConnectionPool:
    """Connections to `redis://`, `rediss://` or `unix://` with deadlines on connecting, sending and on answers."""
    make: Callable[..., ConnectionPool] = getattr(ConnectionPool, "from_url")  # noqa: B009 its stub is untyped
    pool = make(url, socket_connect_timeout=CONNECT_SECONDS)
    pool.connection_class = _PROMPT[cast(type, pool.connection_class)]
    return pool


class _Prompt:
    """Deadlines of a connection's single steps.

    redis-py's own `socket_timeout` sends through `asyncio.wait_for`, which in Python 3.11 loses a cancellation that
    comes when the sending ends: a worker that is told to stop while Valkey goes away would never stop.
    """

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        """Send, within the deadline."""
        send: Callable[..., Awaitable[None]] = getattr(super(), "send_packed_command")  # noqa: B009
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await send(*args, **options)
        except TimeoutError as error:
            raise NoAnswer("Valkey took no command in time") from error

    async def read_response(
        self,
        disable_decoding: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 the overridden method has it
        **options: Any,
    ) -> Any:
        """Read an answer within the deadline; with `timeout`, wait that long for one and return None without."""
        read: Callable[..., Awaitable[Any]] = getattr(super(), "read_response")  # noqa: B009
        if timeout is not None:
            return await read(disable_decoding, timeout, **options)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await read(disable_decoding, **options)
        except TimeoutError as error:
            raise NoAnswer("Valkey did not answer in time") from error


class _PromptConnection(_Prompt, Connection):
    pass


class _PromptSSLConnection(_Prompt, SSLConnection):
    pass


class _PromptUnixConnection(_Prompt, UnixDomainSocketConnection):
    pass


_PROMPT: dict[type, Any] = {
    Connection: _PromptConnection,
    SSLConnection: _PromptSSLConnection,
    UnixDomainSocketConnection: _PromptUnixConnection,
}
