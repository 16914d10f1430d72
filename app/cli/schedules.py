"""Schedules: what comes due when, and what became of what was due."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from rich.text import Text

from app.cli.terminal import AsJson, Data, as_json_text, out, with_runtime

if TYPE_CHECKING:
    from app.models.schedule import OccurrenceOut
    from app.services.own_schedules import Standing

schedules = typer.Typer(help="Schedules: list, show.")
Limit = Annotated[int, typer.Option(min=1, max=200, help="Due times at most.")]


@schedules.callback(invoke_without_command=True)
def list_schedules(context: typer.Context, data: Data = None, as_json: AsJson = False) -> None:
    """List the scheduled tasks: when each runs next, and what became of its latest due time."""
    if context.invoked_subcommand is not None:
        return
    from app.services import own_schedules

    rows = with_runtime(data, lambda runtime: own_schedules.every(runtime.database))
    if as_json:
        out.print(as_json_text([_plain(row) for row in rows]))
        return
    for row in rows:
        _print(row)
    if not rows:
        out.print(Text("No task is scheduled."))


@schedules.command("show")
def show_schedule(task_id: UUID, limit: Limit = 20, data: Data = None, as_json: AsJson = False) -> None:
    """Show one scheduled task and its latest due times, each with its outcome and the reason."""
    from app.services import own_schedules

    row, seen = with_runtime(data, lambda runtime: own_schedules.one(runtime.database, task_id, limit))
    if as_json:
        shown = [one.model_dump(mode="json") for one in seen]
        out.print(as_json_text({**_plain(row), "occurrences": shown}))
        return
    _print(row)
    for one in seen:
        out.print(Text(f"  {_told(one)}"))


def _plain(row: "Standing") -> dict[str, Any]:
    return asdict(row) | {"last": row.last.model_dump(mode="json") if row.last else None}


def _print(row: "Standing") -> None:
    out.print(Text(f"{row.task_id}  {row.title}", style="bold"))
    out.print(Text(f"  {row.state}: {row.description} ({row.timezone})"))
    if row.pause_reason and row.state == "paused":
        out.print(Text(f"  why    {row.pause_reason}", style="yellow"))
    if row.next_run_at:
        out.print(Text(f"  next   {_moment(row.next_run_at)} {row.timezone}"))
    if row.last:
        out.print(Text(f"  last   {_told(row.last)}"))


def _told(one: "OccurrenceOut") -> str:
    late = f", {one.late_seconds:.1f} s late" if one.late_seconds is not None and one.late_seconds >= 1 else ""
    run = f" {one.run_id}" if one.run_id else ""
    return f"{_moment(one.due_at)} UTC  {one.outcome}{run}{late}{f'  {one.reason}' if one.reason else ''}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
