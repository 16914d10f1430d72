"""API keys: create, list, revoke; and the keys that seal secrets: rotate."""

import json
from typing import Annotated
from uuid import UUID

import typer
from rich.text import Text

from app.cli.terminal import AsJson, Data, out, with_runtime

keys = typer.Typer(no_args_is_help=True, help="API keys: create, list, revoke. Keys that seal secrets: rotate.")


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
    made = with_runtime(data, lambda runtime: own_keys.create(runtime.database, runtime.peppers[0], **given))
    out.print(Text(made.model_dump_json() if as_json else made.key or ""))


@keys.command("list")
def list_keys(data: Data = None, as_json: AsJson = False) -> None:
    """List the API keys, without their secrets."""
    from app.services import own_keys

    rows = with_runtime(data, lambda runtime: own_keys.every(runtime.database))
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

    row = with_runtime(data, lambda runtime: own_keys.revoke(runtime.database, key_id))
    out.print(Text(f"Revoked {row.id}  {row.name}"))


@keys.command("rotate")
def rotate_keys(
    check: Annotated[bool, typer.Option("--check", help="Only count what other keys have sealed.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Seal every stored secret under the first key of SIXLANE_KEYS, while everything runs; repeat it as you like.

    The exit code is 0 once nothing is left that needs another key, so that the others can be taken out of the ring.
    """
    from app.services import key_rotation

    if check:
        left = with_runtime(data, lambda runtime: key_rotation.remaining(runtime.database, runtime.vault))
        resealed = 0
    else:
        rotation = with_runtime(data, lambda runtime: key_rotation.rotate(runtime.database, runtime.vault))
        left, resealed = rotation.left, rotation.resealed
    if as_json:
        out.print(Text(json.dumps({"resealed": resealed, "left": left})))
    else:
        out.print(Text(f"Sealed anew: {resealed}" if not check else "Sealed under other keys:"))
        for column, count in left.items():
            out.print(Text(f"  {column:<32} {count:>8} {'' if check else 'left'}".rstrip()))
    raise typer.Exit(1 if any(left.values()) else 0)
