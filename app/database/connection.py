"""The engine and the only place that commits."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any
from uuid import UUID

import asyncpg
import pydantic_core
from sqlalchemy import event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from app.database.direct import dumps
from app.database.unit import Across, Unit
from app.models.bells import Bell
from app.models.errors import Unavailable

Ringer = Callable[[Sequence[Bell]], Awaitable[None]]

CONNECT_SECONDS = 2
COMMAND_SECONDS = 20.0
ANSWER_SECONDS = 2.5
FAREWELL_SECONDS = 0.5
"""How long a request waits for a statement, and then for the server to hear that it is cancelled, for which the driver
would give it 2 s: a client is told of an outage in 5 s."""
ACQUIRE_SECONDS = 4
RESTED_SECONDS = 1.0
LOCK_SECONDS = 3
SILENT_SECONDS = 4
UNIT_SECONDS = 6
"""A process of ours may freeze with a transaction open, and hold a lock that all others need: the server then ends
its transaction, and bounds how long each of them waits. A unit takes milliseconds."""

_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that broke in the middle of an operation
    OSError,
    TimeoutError,
)


def is_outage(error: BaseException) -> bool:
    """Whether the error says that the database is away, as opposed to refusing this statement.

    It may come from the driver itself, from the layer above it, or from the layer's adapter: the causes are looked at.
    """
    if isinstance(error, PoolTimeout | OperationalError | InterfaceError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _AWAY):
            return True
        cause = getattr(cause, "orig", None) or cause.__cause__
    return False


def _ping_rested(engine: AsyncEngine) -> None:
    """Ask a connection for a sign of life before it is used, unless it has just been used."""

    def rests(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["rests_since"] = monotonic()

    def is_taken(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: Any) -> None:
        since = record.info.get("rests_since")
        if since is None or monotonic() - since < RESTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except Exception as error:
            raise DisconnectionError from error

    event.listen(engine.sync_engine, "checkin", rests)
    event.listen(engine.sync_engine, "checkout", is_taken)


def _part_soon(engine: AsyncEngine) -> None:
    """Give a server that let a statement wait too long little time to take leave."""

    async def leave(driver: Any) -> None:
        with suppress(Exception):
            await driver.close(timeout=FAREWELL_SECONDS)

    def is_broken(connection: Any, _record: ConnectionPoolEntry, error: BaseException | None) -> None:
        if isinstance(error, TimeoutError):
            connection.run_async(leave)

    event.listen(engine.sync_engine, "invalidate", is_broken)


_BOUND = f"""
SELECT CASE WHEN current_setting('server_version_num')::int >= 170000
            THEN set_config('transaction_timeout', '{UNIT_SECONDS}s', false) END
"""
"""Only this one ends a process that froze between preparing a statement and executing it; older servers lack it."""


def _bound_units(engine: AsyncEngine) -> None:
    def is_new(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(_BOUND)
        cursor.close()
        connection.commit()

    event.listen(engine.sync_engine, "connect", is_new)


class Database:
    """The ledger's engine. Open a unit with `begin`; it commits at the end of the block or not at all."""

    def __init__(
        self, url: str, *, pool_size: int = 20, command_seconds: float = COMMAND_SECONDS, ringer: Ringer | None = None
    ) -> None:
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=ACQUIRE_SECONDS,
            json_serializer=dumps,
            json_deserializer=pydantic_core.from_json,
            connect_args={
                "timeout": CONNECT_SECONDS,
                "command_timeout": command_seconds,
                "server_settings": {
                    "application_name": "sixlane",
                    "jit": "off",
                    "lock_timeout": f"{LOCK_SECONDS}s",
                    "idle_in_transaction_session_timeout": f"{SILENT_SECONDS}s",
                },
            },
        )
        _ping_rested(self.engine)
        _part_soon(self.engine)
        _bound_units(self.engine)
        self._ringer = ringer

    def set_ringer(self, ringer: Ringer) -> None:
        """Name who rings the bells of committed units."""
        self._ringer = ringer

    async def close(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()

    @asynccontextmanager
    async def begin(self, workspace_id: UUID) -> AsyncGenerator[Unit]:
        """A unit of one workspace: committed when the block ends, rolled back when it raises.

        Raises Unavailable when the database is away.
        """
        async with self._connection() as connection:
            unit = Unit(connection, workspace_id)
            yield unit
            await connection.commit()
        await self._ring(unit.bells)

    @asynccontextmanager
    async def across(self) -> AsyncGenerator[Across]:
        """A unit for what belongs to no single workspace: claims, leases, upkeep, processes, key look-up."""
        async with self._connection() as connection:
            unit = Across(connection)
            yield unit
            await connection.commit()
        await self._ring(unit.bells)

    async def ping(self) -> None:
        """Ask the database for a sign of life. Raises Unavailable."""
        async with self._connection() as connection:
            await connection.execute(text("SELECT 1"))

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[AsyncConnection]:
        connection = None
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS):
                connection = await self.engine.connect()
            yield connection
        except Exception as error:
            if not is_outage(error):
                raise
            if connection is not None:
                await _discard(connection)
            raise Unavailable("The database is not reachable.", code="database_unavailable") from error
        finally:
            if connection is not None:
                await _give_back(connection)

    async def _ring(self, bells: list[Bell]) -> None:
        if bells and self._ringer is not None:
            await self._ringer(bells)


async def _discard(connection: AsyncConnection) -> None:
    """Keep a broken connection from being used again."""
    with suppress(Exception):
        await connection.invalidate()


async def _give_back(connection: AsyncConnection) -> None:
    """Return a connection to the pool. What was committed is committed, also if the connection breaks only now."""
    try:
        await connection.close()
    except Exception:
        await _discard(connection)
