"""What every command shares: the options, the two consoles, the settings, and a runtime to act in."""

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from app.config import Settings
    from app.integrations.standing import Standing
    from app.runtime import Runtime

Result = TypeVar("Result")

EX_CONFIG = 78

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

Data = Annotated[Path | None, typer.Option(help="Data folder (SIXLANE_DATA).")]
Host = Annotated[str | None, typer.Option(help="Address to listen on (SIXLANE_HOST).")]
Port = Annotated[int | None, typer.Option(help="Port to listen on (SIXLANE_PORT); 0 means any.", min=0, max=65_535)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def as_json_text(value: object) -> Text:
    """A value as JSON for a program: ids, moments and the like as text."""
    return Text(json.dumps(value, default=str, ensure_ascii=False))


def printable(text: str) -> str:
    """A text that others wrote, unable to steer the terminal or to hide what it says.

    Control characters and those that turn the direction of writing are shown as their numbers; line ends and tabs stay.
    """
    return _STEERING.sub(lambda found: f"<{ord(found[0]):04x}>", text.replace("\r\n", "\n"))


def commands() -> typer.Typer:
    """A group of commands that stand at the top level."""
    return typer.Typer()


def fail(text: str, status: int = 1) -> NoReturn:
    err.print(Text(text, style="red"))
    raise typer.Exit(status)


def settings_of(*, data: Path | None = None, host: str | None = None, port: int | None = None) -> "Settings":
    """Return the settings with the options of the command line, which the environment carries on to what we start."""
    from app.config import InvalidSettings, load_settings

    given = {"SIXLANE_DATA": data and data.absolute(), "SIXLANE_HOST": host, "SIXLANE_PORT": port}
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    try:
        return load_settings()
    except InvalidSettings as error:
        fail(str(error), EX_CONFIG)


def checked(settings: "Settings") -> "Settings":
    from app.config import problems

    found = problems(settings)
    for problem in found:
        err.print(Text(f"{problem.setting}: {problem.why}. Fix: {problem.fix}", style="red"))
    if found:
        raise typer.Exit(EX_CONFIG)
    return settings


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run it, and tell what a person can mend in one line."""
    from app.integrations.server_process import ServerFailed
    from app.integrations.supervisor import ProgramRefused
    from app.models.errors import AppError, SettingError

    try:
        return asyncio.run(work)
    except (SettingError, ProgramRefused) as error:
        fail(str(error), EX_CONFIG)
    except (AppError, ServerFailed) as error:
        fail(str(error))


def with_runtime(data: Path | None, act: Callable[["Runtime"], Awaitable[Result]], *, migrated: bool = False) -> Result:
    from app.integrations.embedded import attached_stores
    from app.runtime import open_runtime
    from app.services import schema

    settings = checked(settings_of(data=data))

    async def work() -> Result:
        async with attached_stores(settings) as urls:
            if migrated:
                await schema.upgrade(urls.database_url)
            async with open_runtime(settings, "cli") as runtime:
                return await act(runtime)

    return run(work())


def show(standing: "Standing", title: str) -> None:
    out.print(Text(f"{title}: {standing.url or 'no server'}"))
    out.print(Text(f"Data: {standing.data}"))
    for row in standing.processes:
        out.print(Text(f"  {row['role']:<10} {row['pid']:>8} {row.get('port', '')}"))
