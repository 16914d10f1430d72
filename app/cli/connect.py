"""Connect an outside account: Google."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from app.cli.terminal import AsJson, Data, as_json_text, out, with_runtime

if TYPE_CHECKING:
    from app.runtime import Runtime

connect = typer.Typer(no_args_is_help=True, help="Connect an outside account.")


@connect.callback()
def which() -> None:
    """Connect an outside account."""


@connect.command("google")
def connect_google(
    scope: Annotated[
        list[str] | None, typer.Option(help="read, draft, send, label; may be given several times.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="The user whose agents may use it; default: the owner.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show a link that connects a Google account, and wait until somebody has opened it and agreed."""
    from app.models.connection import USUAL_SCOPES
    from app.runtime.google import google_options
    from app.services import own_connections

    async def work(runtime: "Runtime") -> str:
        options, scopes = google_options(runtime.settings), scope or list(USUAL_SCOPES)
        ticket = await own_connections.begin(runtime.database, options, user=user, scopes=scopes)
        if not as_json:
            out.print(Text(f"Open this in a browser on this machine, within ten minutes:\n\n{ticket.url}\n"))
        else:
            out.print(as_json_text({"authorize_url": ticket.url, "expires_at": ticket.expires_at.isoformat()}))
        return await own_connections.outcome(runtime.database, ticket)

    account = with_runtime(data, work)
    out.print(as_json_text({"account": account}) if as_json else Text(f"Connected {account}"))
