"""HTTP for vendors' clients under the outbound guard: their requests go to checked addresses only."""

from collections.abc import AsyncIterator

import httpx2

from app.integrations.http import OutboundError, OutboundGuard

MOST_BYTES = 20_000_000
"""The longest answer, over all of its pieces."""


def pinned_client(guard: OutboundGuard, *, seconds: float) -> httpx2.AsyncClient:
    """A client whose requests the guard checks one by one. It follows no redirects and reads no proxy settings."""
    return httpx2.AsyncClient(
        transport=PinnedTransport(guard), follow_redirects=False, trust_env=False, timeout=httpx2.Timeout(seconds)
    )


class PinnedTransport(httpx2.AsyncBaseTransport):
    """Resolves a request's host once, and connects to an address that was checked."""

    def __init__(self, guard: OutboundGuard) -> None:
        self._guard = guard
        # No kept connections: a pooled one would be picked by address alone, whatever name it was opened for.
        limits = httpx2.Limits(max_connections=20, max_keepalive_connections=0)
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it. Raises OutboundBlocked for an address that is not open."""
        place, addresses = await self._guard.pin(str(request.url))
        request.headers["Host"] = place.authority
        request.extensions = {**request.extensions, "sni_hostname": place.host}
        for number, address in enumerate(addresses, start=1):
            request.url = request.url.copy_with(host=str(address))
            try:
                response = await self._inner.handle_async_request(request)
                break
            except httpx2.ConnectError:
                if number == len(addresses):
                    raise
        else:
            raise OutboundError("no address was tried", sent=False)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Cut(response.stream)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


class _Cut(httpx2.AsyncByteStream):
    """A stream that breaks off once it was too long."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for piece in self._stream:
            read += len(piece)
            if read > MOST_BYTES:
                raise httpx2.ReadError(f"the answer is longer than {MOST_BYTES} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()
