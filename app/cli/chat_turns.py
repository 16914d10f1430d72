"""The turns of a chat: a message is sent and its run watched until it ends or waits for a person."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from app.cli.chat_screen import Screen
from app.integrations.platform_client import ENDS, Event, PlatformClient, Refused


@dataclass
class Watched:
    """How far a run was watched: its id, the number of its last event, and that event (None before the first).

    `known` is set once there is an event.
    """

    run_id: str | None = None
    seq: int = 0
    last: Event | None = None
    known: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def waits(self) -> bool:
        """Whether it waits for others."""
        return self.last is not None and self.last["type"] == "run.waiting"

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.last is not None and self.last["type"] in ENDS

    @property
    def completed(self) -> bool:
        """Whether it came to what it was asked for."""
        return self.last is not None and self.last["type"] == "run.completed"


class Turns:
    """One conversation on a server, and what is done in it. Ctrl-C during a run asks the server to cancel it."""

    def __init__(self, client: PlatformClient, screen: Screen, conversation: dict[str, Any]) -> None:
        self.client = client
        self.screen = screen
        self.conversation = conversation
        self._asked: dict[str, Event] = {}

    async def say(self, text: str) -> Watched:
        """Send a message and watch its run. Raises Refused, ServerError."""
        path = f"/conversations/{self.conversation['id']}/messages"
        return await self._attended(self.client.send(path, {"message": text}), Watched())

    async def go_on(self, watched: Watched) -> Watched:
        """Watch a run further, from where it was left."""
        assert watched.run_id is not None
        return await self._attended(self.client.follow(watched.run_id, watched.seq), watched)

    async def cancel(self, run_id: str) -> None:
        """Ask for a run to be stopped; one that has ended is left alone."""
        with contextlib.suppress(Refused):
            await self.client.call("POST", f"/runs/{run_id}/cancel")

    async def owed(self, run_id: str) -> list[dict[str, Any]]:
        """The decisions that a run and the runs that it waits for are owed, the oldest first."""
        waiting = await self._waiting_on(run_id)
        runs = [run_id, *(str(one["run_id"]) for one in waiting if one["type"] == "run")]
        pages = [await self.client.call("GET", f"/approvals?status=pending&run_id={one}") for one in runs]
        return [row for page in pages for row in page["data"][::-1]]

    async def calls(self, run_id: str) -> list[Event]:
        """The calls that the application of this conversation is to answer, as their events told of them."""
        waiting = [one["tool_call_id"] for one in await self._waiting_on(run_id) if one["type"] == "client_tool"]
        return [self._asked[call] for call in waiting if call in self._asked]

    async def _waiting_on(self, run_id: str) -> list[dict[str, Any]]:
        return (await self.client.call("GET", f"/runs/{run_id}"))["waiting_on"] or []

    async def answer(self, run_id: str, tool_call_id: str, content: Any) -> None:
        """Answer a call in the place of the application."""
        body = {"results": [{"tool_call_id": tool_call_id, "content": content}]}
        await self.client.call("POST", f"/runs/{run_id}/tool-results", body)

    async def decide(self, approval_id: str, body: dict[str, Any]) -> None:
        """Decide an approval. Raises Refused when the decision does not fit, or somebody else was first."""
        await self.client.call("POST", f"/approvals/{approval_id}/decision", body)

    async def active_run(self) -> str | None:
        """The run that holds the conversation now."""
        now = await self.client.call("GET", f"/conversations/{self.conversation['id']}")
        return now["active_run_id"]

    async def end_of(self, run_id: str) -> str:
        """Wait for a run's end without showing anything, and say what it was."""
        last: Event = {"type": "run.unknown"}
        async with aclosing(self.client.follow(run_id)) as events:
            async for event in events:
                last = event
        return str(last["type"]).removeprefix("run.")

    async def history(self) -> list[dict[str, Any]]:
        """Every message of the conversation."""
        path = f"/conversations/{self.conversation['id']}/messages?limit=200"
        page = await self.client.call("GET", path)
        found: list[dict[str, Any]] = page["data"]
        while page["has_more"]:
            page = await self.client.call("GET", f"{path}&after={page['next_cursor']}")
            found += page["data"]
        return found

    async def begin_anew(self) -> None:
        """Go on in a new conversation of the same kind."""
        body = {"pattern_type": self.conversation["pattern_type"], "agent": self.conversation["agent"]}
        self.conversation = await self.client.call("POST", "/conversations", body)

    async def _attended(self, events: AsyncGenerator[Event], watched: Watched) -> Watched:
        """Watch, and cancel on Ctrl-C; at the second Ctrl-C stop watching, and leave the run to the server."""
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGINT, asked.set)
        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(self._watch(events, watched))
                guard = group.create_task(self._stop_when(asked, watched, watcher))
                watcher.add_done_callback(lambda _done: guard.cancel())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        finally:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.remove_signal_handler(signal.SIGINT)
            self.screen.end()
        return watched

    async def _watch(self, events: AsyncGenerator[Event], watched: Watched) -> None:
        self.screen.begin()
        async with aclosing(events):
            async for event in events:
                watched.run_id, watched.seq, watched.last = event["run_id"], event["seq"], event
                watched.known.set()
                if event["type"] == "tool.call" and event.get("client"):
                    self._asked[event["tool_call_id"]] = event
                self.screen.show(event)
                if event["type"] == "run.waiting":
                    return

    async def _stop_when(self, asked: asyncio.Event, watched: Watched, watcher: "asyncio.Task[None]") -> None:
        await asked.wait()
        asked.clear()
        self.screen.note("cancelling … (Ctrl-C once more leaves the run to the server)")
        await watched.known.wait()
        if watched.run_id is not None:
            await self.cancel(watched.run_id)
        await asked.wait()
        watcher.cancel()
