"""The command line. It imports late: each command loads what it runs and nothing else."""

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from app.config import Settings
    from app.integrations.standing import Standing
    from app.runtime import Runtime

Result = TypeVar("Result")

EX_CONFIG = 78
COLOURS = {"up": "bold", "api": "cyan", "worker": "green", "scheduler": "magenta"}

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)
cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Sixlane")
keys = typer.Typer(no_args_is_help=True, help="API keys: create, list, revoke.")
cli.add_typer(keys, name="keys")

Data = Annotated[Path | None, typer.Option(help="Data folder (SIXLANE_DATA).")]
Host = Annotated[str | None, typer.Option(help="Address to listen on (SIXLANE_HOST).")]
Port = Annotated[int | None, typer.Option(help="Port to listen on (SIXLANE_PORT); 0 means any.", min=0, max=65_535)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Run the command line."""
    if sys.platform == "win32":
        sys.exit("Sixlane does not run on Windows itself; use WSL2 or Docker.")
    cli()


def _fail(text: str, status: int = 1) -> NoReturn:
    err.print(Text(text, style="red"))
    raise typer.Exit(status)


def _settings(*, data: Path | None = None, host: str | None = None, port: int | None = None) -> "Settings":
    """Return the settings with the options of the command line, which the environment carries on to what we start."""
    from app.config import InvalidSettings, load_settings

    given = {"SIXLANE_DATA": data and data.absolute(), "SIXLANE_HOST": host, "SIXLANE_PORT": port}
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    try:
        return load_settings()
    except InvalidSettings as error:
        _fail(str(error), EX_CONFIG)


def _checked(settings: "Settings") -> "Settings":
    from app.config import problems

    found = problems(settings)
    for problem in found:
        err.print(Text(f"{problem.setting}: {problem.why}. Fix: {problem.fix}", style="red"))
    if found:
        raise typer.Exit(EX_CONFIG)
    return settings


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run it, and tell what a person can mend in one line."""
    from app.integrations.server_process import ServerFailed
    from app.integrations.supervisor import ProgramRefused
    from app.models.errors import AppError, SettingError

    try:
        return asyncio.run(work)
    except (SettingError, ProgramRefused) as error:
        _fail(str(error), EX_CONFIG)
    except (AppError, ServerFailed) as error:
        _fail(str(error))


def _say(role: str, line: str) -> None:
    out.print(Text(f"{role:<9} │ ", style=COLOURS.get(role, "")).append_text(Text(line, style="")))


@cli.command()
def up(data: Data = None, port: Port = None, host: Host = None, demo: bool = False) -> None:
    """Start everything on this machine: stores, migrations, API, worker, scheduler."""
    from app.services.up import AlreadyUp, NotReady, UpOrder
    from app.services.up import up as start

    began = time.monotonic()
    if demo:
        os.environ["SIXLANE_DEMO"] = "1"
    settings = _checked(_settings(data=data, host=host, port=port))
    for warning in settings.warnings:
        err.print(Text(warning, style="yellow"))
    server = settings.server
    asked = "port" in server.model_fields_set or server.public_url is not None
    order = UpOrder(settings, server.host, server.port, asked)
    try:
        _run(start(order, _say, lambda standing: _ready(settings, standing, time.monotonic() - began)))
    except AlreadyUp:
        from app.integrations.standing import read_standing

        _show(read_standing(settings.data), "Already running")
    except NotReady as error:
        _fail(str(error))


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


def _show(standing: "Standing", title: str) -> None:
    out.print(Text(f"{title}: {standing.url or 'no server'}"))
    out.print(Text(f"Data: {standing.data}"))
    for row in standing.processes:
        out.print(Text(f"  {row['role']:<10} {row['pid']:>8} {row.get('port', '')}"))


def _leave(_number: int, _frame: object) -> NoReturn:
    sys.exit(0)


@cli.command()
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
    settings = _checked(_settings(data=data, host=host, port=port))
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
        )
    )
    server.run(sockets=[socket.socket(fileno=fd)] if fd is not None else None)
    if not server.started:
        raise typer.Exit(3)


@cli.command()
def worker(data: Data = None) -> None:
    """Run a worker alone: it executes background runs."""
    _checked(_settings(data=data))
    from app.workers import task_worker

    task_worker.main()


@cli.command()
def scheduler(data: Data = None) -> None:
    """Run a scheduler alone: it starts what is due."""
    _checked(_settings(data=data))
    from app.workers import scheduler as clock

    clock.main()


@cli.command()
def migrate(data: Data = None) -> None:
    """Bring the database to the schema of this version."""
    from app.integrations.embedded import attached_stores
    from app.services import schema

    settings = _settings(data=data)

    async def work() -> tuple[str | None, str]:
        async with attached_stores(settings) as urls:
            await schema.upgrade(urls.database_url)
            return await schema.revisions(urls.database_url)

    present, _ = _run(work())
    out.print(f"The database is at revision {present}.")


@cli.command()
def status(data: Data = None, as_json: AsJson = False) -> None:
    """Show what runs on the data folder."""
    from app.integrations.standing import read_standing

    standing = read_standing(_settings(data=data).data)
    if as_json:
        out.print(Text(json.dumps(standing.as_json())))
    else:
        _show(standing, "Running" if standing.processes else "Nothing runs")


@cli.command()
def doctor(data: Data = None, as_json: AsJson = False) -> None:
    """Check the configuration and everything it needs, and say how to mend what is wrong."""
    from app.config import choose_model, missing_variable, problems
    from app.services.doctor import Finding, examine

    settings = _settings(data=data)
    findings = [Finding(problem.setting, False, problem.why, problem.fix) for problem in problems(settings)]
    findings += [Finding("settings", True, warning, "") for warning in settings.warnings]
    choice = choose_model(settings.models)
    missing = missing_variable(settings.models, choice.name)
    fix = f"set {missing}, or choose another DEFAULT_MODEL" if missing else ""
    findings.append(Finding("model", missing is None, f"{choice.name} ({choice.source})", fix))
    findings += _run(examine(settings))
    if as_json:
        out.print(Text(json.dumps([finding._asdict() for finding in findings])))
    else:
        for finding in findings:
            mark = Text("ok   ", style="green") if finding.ok else Text("wrong", style="red")
            out.print(mark.append(f" {finding.subject}: {finding.what}" + f". Fix: {finding.fix}" * (not finding.ok)))
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


@cli.command()
def reset(data: Data = None, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Remove the data folder: the ledger, its secrets, its logs."""
    from app.integrations.standing import read_standing, remove_data

    settings = _settings(data=data)
    running = read_standing(settings.data).processes
    if running:
        _fail(f"{running[0]['role']} runs on {settings.data} (process {running[0]['pid']}); stop it first")
    if not yes and not typer.confirm(f"Remove everything in {settings.data}?"):
        raise typer.Exit(1)
    out.print(
        Text(f"Removed {settings.data}" if remove_data(settings.data) else f"Nothing to remove in {settings.data}")
    )


@cli.command()
def init(data: Data = None) -> None:
    """Write .env with a secret, and make the first workspace, its owner and a key; a second call changes nothing."""
    from app.integrations.data_folder import secret
    from app.integrations.env_file import add_variable
    from app.services import keys as api_keys

    settings = _settings(data=data)
    if not settings.secrets.keys and not settings.secrets.encryption_key:
        # in local mode the key that is in use already, so that what it has encrypted and signed stays good
        key = token_urlsafe(32) if settings.production else secret(settings.data, "keys")
        add_variable(Path(".env"), "SIXLANE_KEYS", f"local:{key}")
        out.print("Wrote SIXLANE_KEYS to .env")
    issued = _with_runtime(
        data, lambda runtime: api_keys.bootstrap(runtime.database, runtime.peppers[0]), migrated=True
    )
    text = f"API key of the owner, shown this once: {issued.token}" if issued else "There is an API key already"
    out.print(Text(text))


def _with_runtime(
    data: Path | None, act: Callable[["Runtime"], Awaitable[Result]], *, migrated: bool = False
) -> Result:
    from app.integrations.embedded import attached_stores
    from app.runtime import open_runtime
    from app.services import schema

    settings = _checked(_settings(data=data))

    async def work() -> Result:
        async with attached_stores(settings) as urls:
            if migrated:
                await schema.upgrade(urls.database_url)
            async with open_runtime(settings, "cli") as runtime:
                return await act(runtime)

    return _run(work())


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What the key is for.")] = "cli",
    scope: Annotated[list[str] | None, typer.Option(help="May be given several times; default: ordinary use.")] = None,
    user: Annotated[str | None, typer.Option(help="The one user whom the key stands for.")] = None,
    days: Annotated[int, typer.Option(help="Days until it expires; 0 means never.")] = 90,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key and show it, this once."""
    from app.services import own_keys

    given = {"name": name, "scopes": scope or None, "user_id": user, "expires_in_days": days or None}
    made = _with_runtime(data, lambda runtime: own_keys.create(runtime.database, runtime.peppers[0], **given))
    out.print(Text(made.model_dump_json() if as_json else made.key or ""))


@keys.command("list")
def list_keys(data: Data = None, as_json: AsJson = False) -> None:
    """List the API keys, without their secrets."""
    from app.services import own_keys

    rows = _with_runtime(data, lambda runtime: own_keys.every(runtime.database))
    if as_json:
        out.print(Text(json.dumps([row.model_dump(mode="json") for row in rows])))
        return
    for row in rows:
        state = "revoked" if row.revoked_at else f"until {row.expires_at:%Y-%m-%d}" if row.expires_at else "no end"
        out.print(Text(f"{row.id}  {row.name}  {row.user_id}  {state}  {' '.join(row.scopes)}"))


@keys.command("revoke")
def revoke_key(key_id: UUID, data: Data = None) -> None:
    """Revoke an API key; it stops working everywhere within seconds."""
    from app.services import own_keys

    row = _with_runtime(data, lambda runtime: own_keys.revoke(runtime.database, key_id))
    out.print(Text(f"Revoked {row.id}  {row.name}"))


if __name__ == "__main__":
    sys.exit(main())
