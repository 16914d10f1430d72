"""Chat in the terminal: messages in, the answer as it comes, decisions in place; from a pipe, a message per line."""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.server import Key, Url, client_of
from app.cli.terminal import Data, commands, err, fail, out

if TYPE_CHECKING:
    from app.cli.chat_turns import Turns
    from app.integrations.platform_client import PlatformClient

chat_command = commands()

UNDECIDED = 3


@chat_command.command()
def chat(
    agent: Annotated[str | None, typer.Option(help="The agent to talk with; default: the usual one.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Go on with this conversation.")] = None,
    data: Data = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Talk with an agent. Ctrl-C stops its run, Ctrl-D leaves, /help tells the rest.

    From a pipe each line is a message and the answers are all that is printed. The exit code is then 0 when every
    run completed, 1 when one did not, and 3 when one waits for a decision, which ends the chat.
    """
    from app.integrations.platform_client import ServerError

    client = client_of(data, url, key)
    with asyncio.Runner() as runner:
        try:
            turns = runner.run(_opened(client, agent, conversation))
            status = _talk(runner, turns) if sys.stdin.isatty() else _read(runner, turns)
        except ServerError as error:
            fail(str(error))
        finally:
            runner.run(client.__aexit__(None, None, None))
    raise typer.Exit(status)


async def _opened(client: "PlatformClient", agent: str | None, conversation_id: str | None) -> "Turns":
    from app.cli.chat_screen import Screen
    from app.cli.chat_turns import Turns

    if conversation_id is not None:
        row = await client.call("GET", f"/conversations/{conversation_id}")
    else:
        row = await client.call("POST", "/conversations", {"pattern_type": "chatbot", "agent": agent})
    lively = sys.stdin.isatty() and out.is_terminal
    return Turns(client, Screen(out, out if sys.stdin.isatty() else err, lively=lively), row)


def _read(runner: asyncio.Runner, turns: "Turns") -> int:
    """Send each line of the standard input as a message; the exit code says what became of them."""
    status = 0
    for line in sys.stdin:
        if not line.strip():
            continue
        watched = runner.run(turns.say(line.strip()))
        if not watched.ended:
            place = f"GET {turns.client.url}/approvals?status=pending&run_id={watched.run_id}"
            turns.screen.note(f"The run waits for a person; what for is told at {place}", "yellow")
            return UNDECIDED
        status = status if watched.completed else 1
    return status


def _talk(runner: asyncio.Runner, turns: "Turns") -> int:
    from app.cli.chat_lines import Lines
    from app.cli.chat_talk import Talk

    Talk(runner, turns, Lines(lambda: turns.screen.note("(Ctrl-D or /quit leaves)"))).run()
    return 0
