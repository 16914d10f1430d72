"""A client as it should be: any API process, one Idempotency-Key until there is an answer, streams resumed."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from support.fleet import Fleet

PATIENCE_SECONDS = 45.0
TERMINAL = ("completed", "failed", "cancelled")
_AWAY = (httpx.TransportError,)


@dataclass
class Stream:
    """What one client has seen of a run: its events, and how often it had to come back."""

    run_id: str = ""
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    resumed: int = 0

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self.events[-1]["seq"] if self.events else 0

    @property
    def ended(self) -> bool:
        """Whether the terminal event was seen."""
        return bool(self.events) and self.events[-1]["type"].removeprefix("run.") in TERMINAL


class PatientClient:
    """Goes round the fleet's API processes. `unavailable` keeps the 503 answers as (seconds to answer, Retry-After).

    `patience` is how many seconds anything may take, the whole of a run included.
    """

    def __init__(self, fleet: Fleet, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self.unavailable: list[tuple[float, str | None]] = []
        self._fleet = fleet
        self._turn = itertools.count()
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(30, connect=2), limits=httpx.Limits(max_connections=200))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def post(self, path: str, body: object, key: str | None = None, *, conflict: bool = False) -> dict[str, Any]:
        """POST until it is answered; the answer. With `conflict`, 409 is an answer too."""
        return await self._ask("POST", path, body, {"Idempotency-Key": key} if key else {}, conflict=conflict)

    async def get(self, path: str) -> dict[str, Any]:
        """GET until it is answered; the answer."""
        return await self._ask("GET", path, None, {})

    async def ended(self, run_id: str, seconds: float | None = None) -> dict[str, Any]:
        """The run, when it has ended."""
        seconds = seconds or self._patience
        deadline = time.monotonic() + seconds
        while (run := await self.get(f"/runs/{run_id}"))["status"] not in TERMINAL:
            assert time.monotonic() < deadline, f"run {run_id} is {run['status']} after {seconds} s: {run}"
            await asyncio.sleep(0.25)
        return run

    async def stream(self, path: str, body: object, key: str) -> Stream:
        """POST for a stream and follow it to its terminal event, through every loss of the connection."""
        seen = Stream()
        deadline = time.monotonic() + self._patience
        while not seen.ended:
            assert time.monotonic() < deadline, f"the stream of {seen.run_id or path} ends with {seen.events[-3:]}"
            try:
                await self._follow(seen, path, body, key)
            except _AWAY:
                await asyncio.sleep(0.05)
            seen.resumed += not seen.ended
        return seen

    async def _follow(self, seen: Stream, path: str, body: object, key: str) -> None:
        api = await self._api()
        if seen.run_id:
            headers = {"Last-Event-ID": str(seen.last), "Accept": "text/event-stream"}
            request = self._http.build_request("GET", f"{api}/runs/{seen.run_id}/events", headers=headers)
        else:
            headers = {"Idempotency-Key": key, "Accept": "text/event-stream"}
            request = self._http.build_request("POST", f"{api}{path}", json=body, headers=headers)
        began = time.monotonic()
        answer = await self._http.send(request, stream=True)
        try:
            if answer.status_code == 503:
                self.unavailable.append((time.monotonic() - began, answer.headers.get("retry-after")))
                await asyncio.sleep(0.1)
                return
            assert answer.status_code == 200, f"{answer.status_code} {await answer.aread()}"
            seen.run_id = seen.run_id or answer.headers["location"].rsplit("/", 1)[1]
            async for event in _events(answer):
                seen.events.append(event)
        finally:
            await answer.aclose()

    async def _ask(
        self, method: str, path: str, body: object, headers: dict[str, str], *, conflict: bool = False
    ) -> dict[str, Any]:
        deadline = time.monotonic() + self._patience
        told = "no answer"
        while time.monotonic() < deadline:
            began = time.monotonic()
            try:
                answer = await self._http.request(method, f"{await self._api()}{path}", json=body, headers=headers)
            except _AWAY as error:
                told = repr(error)
                await asyncio.sleep(0.05)
                continue
            if answer.status_code == 503:
                self.unavailable.append((time.monotonic() - began, answer.headers.get("retry-after")))
                told = answer.text
                await asyncio.sleep(0.1)
                continue
            assert answer.is_success or (conflict and answer.status_code == 409), (
                f"{method} {path}: {answer.status_code} {answer.text}"
            )
            return answer.json()
        raise TimeoutError(f"{method} {path} was not answered within {self._patience} s: {told}")

    async def _api(self) -> str:
        while not (apis := self._fleet.of("api")):
            await asyncio.sleep(0.05)
        return apis[next(self._turn) % len(apis)].url


async def _events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
