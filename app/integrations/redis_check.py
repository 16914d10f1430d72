"""What the doctor asks a Redis or Valkey."""

from typing import Any, NamedTuple, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError


class RedisFacts(NamedTuple):
    """Product, version, and what it does when its memory is full (None where it will not say)."""

    product: str
    version: str
    eviction: str | None


async def redis_facts(url: str) -> RedisFacts | str:
    """Return the facts, or the reason why there are none."""
    client = Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3)  # pyright: ignore[reportUnknownMemberType]
    try:
        info = cast("dict[str, Any]", await client.info())  # pyright: ignore[reportUnknownMemberType]
        product, version = (
            ("valkey", info["valkey_version"]) if "valkey_version" in info else ("redis", info["redis_version"])
        )
        return RedisFacts(product, str(version), info.get("maxmemory_policy"))
    except (RedisError, OSError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        await client.aclose()
