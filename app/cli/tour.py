"""The tour: six ways to run agents, shown against a running server in half a minute."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from app.cli.server import Key, Url, with_client
from app.cli.terminal import AsJson, Data, commands, out, printable

if TYPE_CHECKING:
    from app.cli.tour_stage import Stage
    from app.cli.tour_steps import Step
    from app.integrations.platform_client import PlatformClient

tour_command = commands()

_INDENT = 13
_COLOURS = {"you": "cyan", "agent": "green", "result": "green", "tool": "yellow", "approval": "magenta"}


@dataclass
class Told:
    """What became of one step."""

    step: "Step"
    ok: bool = False
    seconds: float = 0.0
    error: str | None = None
    said: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    links: dict[str, str] = field(default_factory=dict[str, str])

    def as_json(self) -> dict[str, Any]:
        """The step as `--json` prints it."""
        return {
            "pattern": self.step.pattern,
            "title": self.step.title,
            "ok": self.ok,
            "error": self.error,
            "seconds": round(self.seconds, 2),
            "said": self.said,
            "links": self.links,
        }


@tour_command.command()
def tour(data: Data = None, url: Url = None, key: Key = None, as_json: AsJson = False) -> None:
    """Show all six ways to run agents against the running server, and what came of each."""
    console = Console(highlight=False, quiet=as_json)
    report = with_client(data, url, key, lambda client: _tour(client, console))
    if as_json:
        out.print(Text(json.dumps(report, ensure_ascii=False)))
    raise typer.Exit(0 if report["ok"] else 1)


async def _tour(client: "PlatformClient", console: Console) -> dict[str, Any]:
    from app.cli.tour_stage import Stage
    from app.cli.tour_steps import STEPS

    began = time.monotonic()
    info = await client.call("GET", "/info")
    model = info["model"]["name"]
    console.print(Text.assemble(("\nSixlane tour", "bold"), f"  {client.url}  ·  model {model}\n"))
    told: list[Told] = []
    made: list[tuple[str, str]] = []
    removed: list[str] = []
    try:
        here = [step for step in STEPS if step.pattern in info["patterns"]]
        for number, step in enumerate(here, 1):
            console.print(Text.assemble((f"{number}  {step.pattern}", "bold"), (f"  {step.title}", "dim")))
            stage = Stage(client, lambda label, text: _line(console, label, text), made=made)
            told.append(await _one(console, step, stage))
    finally:
        removed += await _clean(client, made)
    report = {
        "ok": all(one.ok for one in told),
        "url": client.url,
        "model": model,
        "seconds": round(time.monotonic() - began, 2),
        "steps": [one.as_json() for one in told],
        "removed": removed,
    }
    _summary(console, report, told)
    return report


async def _one(console: Console, step: "Step", stage: "Stage") -> Told:
    from app.cli.tour_stage import StepFailed
    from app.integrations.platform_client import ServerError

    one, began = Told(step, said=stage.said, links=stage.links), time.monotonic()
    try:
        with console.status(Text(f"{step.pattern} …", style="dim")):
            await step.act(stage)
        one.ok = True
    except (StepFailed, ServerError) as error:
        one.error = str(error)
        _line(console, "failed", one.error, "red")
    one.seconds = time.monotonic() - began
    console.print()
    return one


def _line(console: Console, label: str, text: str, style: str = "") -> None:
    shown = Text(printable(text), style=style).wrap(console, max(console.width - _INDENT, 20), overflow="fold")
    for number, line in enumerate(shown):
        before = Text(f"{label if not number else '':>{_INDENT - 2}}  ", style=style or _COLOURS.get(label, "dim"))
        line.rstrip()
        console.print(before.append_text(line), soft_wrap=True)


async def _clean(client: "PlatformClient", made: Sequence[tuple[str, str]]) -> list[str]:
    """Delete what the tour made, the newest first, and return what is gone."""
    from app.integrations.platform_client import ServerError

    gone: list[str] = []
    for name, path in reversed(made):
        try:
            await client.call("DELETE", path)
        except ServerError:
            continue
        gone.append(f"{name} {path.rpartition('/')[2]}")
    return gone


def _summary(console: Console, report: dict[str, Any], told: Sequence[Told]) -> None:
    for one in told:
        mark = Text("ok    " if one.ok else "failed", style="green" if one.ok else "red")
        where = f"  {one.step.pattern:<11} {one.seconds:5.1f} s  {one.links.get('run', '')}"
        console.print(mark.append(where, style="not bold default"), soft_wrap=True)
    good, style = sum(one.ok for one in told), "bold green" if report["ok"] else "bold red"
    console.print(Text(f"\n{good} of {len(told)} in {report['seconds']:.1f} s", style=style))
    if report["removed"]:
        console.print(Text(f"Removed again: {_counted(report['removed'])}. Runs and conversations stay to be read."))
    console.print(Text(f"All of it is described at {report['url']}/docs. Next: sixlane chat\n"), soft_wrap=True)


def _counted(removed: Sequence[str]) -> str:
    names = [one.partition(" ")[0] for one in removed]
    return ", ".join(f"{names.count(name)} {name}{'s' * (names.count(name) > 1)}" for name in sorted(set(names)))
