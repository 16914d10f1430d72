"""The stage of one step of the tour: what happens is shown on it, and what was made is remembered to be removed."""

import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from app.integrations.platform_client import ENDS, Event, PlatformClient

Reaction = Callable[[Event], Awaitable[None]]
Show = Callable[[str, str], None]

_LONGEST = 1000
_LONGEST_RESULT = 160


class StepFailed(Exception):
    """The step did not come to what it shows; says why."""


@dataclass
class Seen:
    """What a run told: its end, the whole answer, how it was streamed, and the types of its events."""

    end: Event
    text: str
    pieces: int = 0
    first_seconds: float | None = None
    types: list[str] = field(default_factory=list[str])
    calls: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class Stage:
    """One step's view of the server. `show` takes a label and a text; `made` is what the tour deletes at its end."""

    client: PlatformClient
    show: Show
    said: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    links: dict[str, str] = field(default_factory=dict[str, str])
    made: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def tell(self, label: str, text: str) -> None:
        """Show one thing that happened."""
        text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
        self.said.append({"label": label, "text": text})
        self.show(label, text)

    def link(self, name: str, path: str) -> None:
        """Name a place where the step's outcome can be looked at."""
        self.links[name] = f"{self.client.url}{path}"

    async def make(self, path: str, body: Mapping[str, Any], *, name: str) -> dict[str, Any]:
        """Create something that the tour deletes when it is over."""
        made = await self.client.call("POST", path, dict(body))
        self.made.append((name, f"{path}/{made.get('id') or made['name']}"))
        return made

    async def conversation(self, pattern: str, **more: Any) -> str:
        """Begin a conversation; it stays, so that it can be read after the tour."""
        body = {"pattern_type": pattern, "title": "Tour", **more}
        made = await self.client.call("POST", "/conversations", body)
        self.link("conversation", f"/conversations/{made['id']}/messages")
        return made["id"]

    async def turn(
        self, conversation_id: str, message: str, reactions: Mapping[str, Reaction] | None = None, **more: Any
    ) -> Seen:
        """Say something and watch the answer come, streamed."""
        self.tell("you", message)
        path = f"/conversations/{conversation_id}/messages"
        return await self.watch(self.client.send(path, {"message": message, **more}), reactions)

    async def follow(self, run_id: str, reactions: Mapping[str, Reaction] | None = None) -> Seen:
        """Watch a run that was begun elsewhere."""
        return await self.watch(self.client.follow(run_id), reactions)

    async def watch(self, events: AsyncGenerator[Event], reactions: Mapping[str, Reaction] | None = None) -> Seen:
        """Show a run's events up to its end and react to them. Raises StepFailed when it does not complete."""
        began = time.monotonic()
        seen = Seen({}, "")
        async with aclosing(events):
            async for event in events:
                seen.types.append(event["type"])
                if event["type"] == "message.delta":
                    seen.pieces += 1
                    seen.first_seconds = seen.first_seconds or time.monotonic() - began
                self._tell_event(event, seen)
                react = (reactions or {}).get(event["type"])
                if react is not None:
                    await react(event)
                seen.end = event
        self._check(seen)
        return seen

    def _tell_event(self, event: Event, seen: Seen) -> None:
        if event["type"] == "tool.call":
            named = f"{event['tool']} {compact(event['arguments'])}"
            seen.calls[event["tool_call_id"]] = "" if event.get("child_run_id") else named
        elif event["type"] == "tool.result" and seen.calls.get(event["tool_call_id"]) != "":
            call = seen.calls.pop(event["tool_call_id"], event["tool"])
            gave = " ".join(str(event.get("summary") or event["status"]).split())
            self.tell("tool", f"{call} → {gave if len(gave) <= _LONGEST_RESULT else f'{gave[:_LONGEST_RESULT]} …'}")
        elif event["type"] == "run.retrying":
            self.tell("again", f"{event.get('detail') or event['reason']}")

    def _check(self, seen: Seen) -> None:
        end = seen.end
        if end.get("type") not in ENDS:
            raise StepFailed("the run's events ended before the run did")
        self.link("run", f"/runs/{end['run_id']}")
        if end["type"] != "run.completed":
            raise StepFailed(f"the run {end['run_id']} {end['type'][4:]}: {end.get('detail') or end['status_reason']}")
        result: dict[str, Any] = end.get("result") or {}
        seen.text = result.get("text") or ("" if result.get("data") is None else compact(result["data"]))


def compact(value: Any) -> str:
    """JSON on one line, for people."""
    return json.dumps(value, ensure_ascii=False)
