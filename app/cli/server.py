"""The server that a command speaks to over HTTP: a named one, or the one that runs on the data folder."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.cli.terminal import fail, settings_of

if TYPE_CHECKING:
    from app.integrations.platform_client import PlatformClient

Result = TypeVar("Result")

Url = Annotated[str | None, typer.Option(help="The server; default: the one that runs on the data folder.")]
Key = Annotated[str | None, typer.Option(help="An API key; better in SIXLANE_API_KEY, where nobody else sees it.")]


def client_of(data: Path | None, url: str | None, key: str | None) -> "PlatformClient":
    """A client of the server that the options name. Ends the command when there is none."""
    from app.integrations.platform_client import PlatformClient
    from app.integrations.standing import read_standing

    settings = settings_of(data=data)
    if url is not None and not url.startswith(("http://", "https://")):
        fail(f"--url takes an address such as http://localhost:8000, not {url!r}")
    found = url or read_standing(settings.data).url
    if found is None:
        fail(f"No server runs on {settings.data}. Start one with `sixlane up`, or name one with --url.")
    kept = settings.server.api_key
    return PlatformClient(found, key or (kept.get_secret_value() if kept else None))


def with_client(
    data: Path | None, url: str | None, key: str | None, act: "Callable[[PlatformClient], Awaitable[Result]]"
) -> Result:
    """What `act` gives, with a client of the server; an error of the server ends the command with its sentence."""
    from app.integrations.platform_client import ServerError

    client = client_of(data, url, key)

    async def work() -> Result:
        async with client:
            return await act(client)

    try:
        return asyncio.run(work())
    except ServerError as error:
        fail(str(error))
