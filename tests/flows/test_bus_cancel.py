"""Listening stops when it is told to, at whatever point of connecting that is."""

import asyncio
from uuid import UUID

from app.integrations.bus import Bus
from app.models.frames import Frame


class Deaf:
    """Hears nothing of what it is told."""

    def heard(self, run_id: UUID, frames: list[Frame]) -> None: ...

    def cancel_heard(self, run_id: UUID) -> None: ...

    def steer_heard(self, run_id: UUID) -> None: ...

    def missed(self) -> None: ...


async def test_listening_stops_at_every_point_of_connecting(redis_url: str) -> None:
    for turns in range(40):
        bus = Bus(redis_url)
        listening = asyncio.create_task(bus.serve(Deaf()))
        for _ in range(turns):
            await asyncio.sleep(0)
        listening.cancel()
        done, _ = await asyncio.wait([listening], timeout=5)
        assert done, f"goes on listening when cancelled after {turns} turns of the loop"
        await bus.close()
