"""What operators do besides running processes: migrate, look, check, begin, remove."""

import json
import socket
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated

import typer
from rich.text import Text

from app.cli.terminal import AsJson, Data, commands, fail, out, run, settings_of, show, with_runtime

operations = commands()


@operations.command()
def migrate(data: Data = None) -> None:
    """Bring the database to the schema of this version."""
    from app.integrations.embedded import attached_stores
    from app.services import schema

    settings = settings_of(data=data)

    async def work() -> tuple[str | None, str]:
        async with attached_stores(settings) as urls:
            await schema.upgrade(urls.database_url)
            return await schema.revisions(urls.database_url)

    present, _ = run(work())
    out.print(f"The database is at revision {present}.")


@operations.command()
def status(data: Data = None, as_json: AsJson = False) -> None:
    """Show what runs on the data folder."""
    from app.integrations.standing import read_standing

    standing = read_standing(settings_of(data=data).data)
    if as_json:
        out.print(Text(json.dumps(standing.as_json())))
    else:
        show(standing, "Running" if standing.processes else "Nothing runs")


@operations.command()
def alive(role: Annotated[str, typer.Argument(help="worker or scheduler.")], data: Data = None) -> None:
    """Tell by the exit code whether a process of this role works on this host: for the health checks of containers."""
    from app.services import health

    if not with_runtime(data, lambda runtime: health.alive(runtime.database, role, socket.gethostname())):
        fail(f"No {role} on {socket.gethostname()} has reported within the last minute.")


@operations.command()
def doctor(data: Data = None, as_json: AsJson = False) -> None:
    """Check the configuration and everything it needs, and say how to mend what is wrong."""
    from app.config import choose_model, missing_variable, problems
    from app.services.doctor import Finding, examine

    settings = settings_of(data=data)
    findings = [Finding(problem.setting, False, problem.why, problem.fix) for problem in problems(settings)]
    findings += [Finding("settings", True, warning, "") for warning in settings.warnings]
    choice = choose_model(settings.models)
    missing = missing_variable(settings.models, choice.name)
    fix = f"set {missing}, or choose another DEFAULT_MODEL" if missing else ""
    findings.append(Finding("model", missing is None, f"{choice.name} ({choice.source})", fix))
    findings += run(examine(settings))
    if as_json:
        out.print(Text(json.dumps([finding._asdict() for finding in findings])))
    else:
        for finding in findings:
            mark = Text("ok   ", style="green") if finding.ok else Text("wrong", style="red")
            out.print(mark.append(f" {finding.subject}: {finding.what}" + f". Fix: {finding.fix}" * (not finding.ok)))
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


@operations.command()
def reset(data: Data = None, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Remove the data folder: the ledger, its secrets, its logs."""
    from app.integrations.standing import read_standing, remove_data

    settings = settings_of(data=data)
    running = read_standing(settings.data).processes
    if running:
        fail(f"{running[0]['role']} runs on {settings.data} (process {running[0]['pid']}); stop it first")
    if not yes and not typer.confirm(f"Remove everything in {settings.data}?"):
        raise typer.Exit(1)
    out.print(
        Text(f"Removed {settings.data}" if remove_data(settings.data) else f"Nothing to remove in {settings.data}")
    )


@operations.command()
def init(data: Data = None) -> None:
    """Write .env with a secret, and make the first workspace, its owner and a key; a second call changes nothing."""
    from app.integrations.data_folder import secret
    from app.integrations.env_file import add_variable
    from app.services import keys as api_keys

    settings = settings_of(data=data)
    if not settings.secrets.keys and not settings.secrets.encryption_key:
        # in local mode the key that is in use already, so that what it has encrypted and signed stays good
        key = token_urlsafe(32) if settings.production else secret(settings.data, "keys")
        add_variable(Path(".env"), "SIXLANE_KEYS", f"local:{key}")
        out.print("Wrote SIXLANE_KEYS to .env")
    issued = with_runtime(data, lambda runtime: api_keys.bootstrap(runtime.database, runtime.peppers[0]), migrated=True)
    text = f"API key of the owner, shown this once: {issued.token}" if issued else "There is an API key already"
    out.print(Text(text))
