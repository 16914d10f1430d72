"""The processes: all of them together, or one at a time."""

import gc
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.text import Text

from app.cli.terminal import Data, Host, Port, checked, commands, err, fail, out, run, settings_of, show

if TYPE_CHECKING:
    from app.config import Settings
    from app.integrations.standing import Standing

KEEP_ALIVE_SECONDS = 75
"""Longer than clients and balancers keep an idle connection (5 to 60 s), so that no request meets one just closed."""
COLOURS = {"up": "bold", "api": "cyan", "worker": "green", "scheduler": "magenta"}

roles = commands()


def _say(role: str, line: str) -> None:
    out.print(Text(f"{role:<9} │ ", style=COLOURS.get(role, "")).append_text(Text(line, style="")))


@roles.command()
def up(
    data: Data = None,
    port: Port = None,
    host: Host = None,
    demo: bool = False,
    agents: Annotated[str | None, typer.Option(help="Your own agents: a Python file, or module:attribute.")] = None,
) -> None:
    """Start everything on this machine: stores, migrations, API, worker, scheduler."""
    from app.services.up import AlreadyUp, NotReady, UpOrder
    from app.services.up import up as start

    began = time.monotonic()
    if demo:
        os.environ["SIXLANE_DEMO"] = "1"
    if agents is not None:
        os.environ["SIXLANE_AGENTS"] = str(Path(agents).absolute()) if agents.endswith(".py") else agents
    settings = checked(settings_of(data=data, host=host, port=port))
    _check_agents(settings)
    for warning in settings.warnings:
        err.print(Text(warning, style="yellow"))
    server = settings.server
    asked = "port" in server.model_fields_set or server.public_url is not None
    order = UpOrder(settings, server.host, server.port, asked)
    try:
        run(start(order, _say, lambda standing: _ready(settings, standing, time.monotonic() - began)))
    except AlreadyUp:
        from app.integrations.standing import read_standing

        show(read_standing(settings.data), "Already running")
    except NotReady as error:
        fail(str(error))


def _check_agents(settings: "Settings") -> None:
    """Say what is wrong with the operator's own agents before anything is started."""
    if not settings.agents.own:
        return
    from app.agents.own import load
    from app.agents.registry import AgentRegistry
    from app.models.errors import SettingError

    try:
        AgentRegistry(own=load(settings.agents.own))
    except SettingError as error:
        fail(str(error))


def _ready(settings: "Settings", standing: "Standing", seconds: float) -> None:
    from app.config import choose_model

    choice = choose_model(settings.models)
    hint = "; set OPENAI_API_KEY, ANTHROPIC_API_KEY or OLLAMA_BASE_URL" if choice.source.startswith("no ") else ""
    out.print(Text(f"\nSixlane is ready after {seconds:.1f} s\n", style="bold green"))
    for name, value in (
        ("API", standing.url),
        ("Docs", f"{standing.url}/docs"),
        ("Data", standing.data),
        ("Model", f"{choice.name} ({choice.source}{hint})"),
        ("Stop", "Ctrl-C"),
    ):
        out.print(Text(f"  {name:<6} {value}"))
    out.print()


def _leave(_number: int, _frame: object) -> NoReturn:
    sys.exit(0)


@roles.command()
def api(
    data: Data = None,
    port: Port = None,
    host: Host = None,
    fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the HTTP server alone."""
    import signal
    import socket

    import uvicorn

    # The server raises the signal that stopped it again: being asked to stop is no failure.
    signal.signal(signal.SIGTERM, _leave)
    settings = checked(settings_of(data=data, host=host, port=port))
    gc.disable()  # loading makes hundreds of thousands of objects and no garbage: a tenth of the start
    from app.main import create_app

    application = create_app(settings)
    gc.enable()
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            host=settings.server.host,
            port=settings.server.port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # who is keyless depends on the true peer
            timeout_graceful_shutdown=round(settings.server.shutdown_seconds) + 5,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
    )
    server.run(sockets=[socket.socket(fileno=fd)] if fd is not None else None)
    if not server.started:
        raise typer.Exit(3)


@roles.command()
def worker(data: Data = None) -> None:
    """Run a worker alone: it executes background runs."""
    checked(settings_of(data=data))
    from app.workers import task_worker

    task_worker.main()


@roles.command()
def scheduler(data: Data = None) -> None:
    """Run a scheduler alone: it starts what is due."""
    checked(settings_of(data=data))
    from app.workers import scheduler as clock

    clock.main()
