"""Deliveries: notifications that were sent, that wait, and that nobody could deliver."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.text import Text

from app.cli.terminal import AsJson, Data, as_json_text, out, with_runtime

if TYPE_CHECKING:
    from app.models.delivery import DeliveryOut

deliveries = typer.Typer(help="Notifications: list, show, resend.")
Status = Annotated[str | None, typer.Option(help="Only these: pending, held, sent, inbox, unknown, failed, dead …")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="Deliveries at most.")]


@deliveries.callback(invoke_without_command=True)
def list_deliveries(
    context: typer.Context, status: Status = None, limit: Limit = 50, data: Data = None, as_json: AsJson = False
) -> None:
    """List the latest notifications."""
    if context.invoked_subcommand is not None:
        return
    from app.services import own_deliveries

    rows = with_runtime(
        data,
        lambda runtime: own_deliveries.every(
            runtime.database, status=status, limit=limit, base_url=runtime.settings.server.public_url
        ),
    )
    if as_json:
        out.print(as_json_text([row.model_dump(mode="json") for row in rows]))
        return
    for row in rows:
        _print(row)
    if not rows:
        out.print(Text("No notification is there."))


@deliveries.command("show")
def show_delivery(delivery_id: UUID, data: Data = None, as_json: AsJson = False) -> None:
    """Show one notification: its attempts, what the far end said, and what is sent."""
    from app.services import own_deliveries

    row = with_runtime(
        data,
        lambda runtime: own_deliveries.one(runtime.database, delivery_id, base_url=runtime.settings.server.public_url),
    )
    if as_json:
        out.print(as_json_text(row.model_dump(mode="json")))
        return
    _print(row)
    for one in row.tries:
        said = " ".join(part for part in (one.code, one.detail, one.snippet) if part)
        out.print(Text(f"  {one.number}. {one.started_at:%Y-%m-%d %H:%M:%S} UTC  {one.outcome}  {said}"))
    preview = row.preview
    shown = preview.text if preview.text is not None else as_json_text(preview.body).plain
    out.print(Text(f"\n{preview.subject or row.subject}\n\n{shown}"))


@deliveries.command("resend")
def resend_delivery(delivery_id: UUID, data: Data = None, as_json: AsJson = False) -> None:
    """Have a notification that is over sent again, by the next worker that is free."""
    from app.services import own_deliveries

    row = with_runtime(
        data,
        lambda runtime: own_deliveries.resend(
            runtime.database, delivery_id, base_url=runtime.settings.server.public_url
        ),
    )
    if as_json:
        out.print(as_json_text(row.model_dump(mode="json")))
    else:
        out.print(Text(f"Will be sent again as {row.id}"))


def _print(row: "DeliveryOut") -> None:
    tries = f", {row.attempts} attempts" if row.attempts > 1 else ""
    why = f"  {row.status_detail or row.status_reason}" if row.status_detail or row.status_reason else ""
    out.print(Text(f"{row.id}  {row.status}{tries}  {row.channel} {row.target}", style="bold"))
    out.print(Text(f"  {row.created_at:%Y-%m-%d %H:%M:%S} UTC  {row.event}  {row.subject}{why}"))
