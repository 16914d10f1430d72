"""Research: a plan, researchers side by side, and a report whose every source was really read."""

import re
import time
from decimal import Decimal
from typing import Any

from support.model_server import script
from support.research import begun_by, done, found, question, reported, research, say, told, topic

from app.agents.citations import ref_of
from app.models.identity import Principal
from app.models.run import Usage
from app.runtime import Runtime
from tests.flows.conftest import Desk, OpenDesk


async def test_the_demo_model_really_researches(runtime: Runtime, owner: Principal) -> None:
    run_id = await research(runtime, owner, "How do tides arise, and what is solar power good for?")
    events = await told(runtime, owner, run_id)
    plans = [event for event in events if event["type"] == "plan.updated"]
    assert [plan["done"] for plan in plans] == sorted(plan["done"] for plan in plans)
    assert (plans[0]["done"], plans[-1]["done"]) == (0.0, 1.0)
    assert [step["status"] for step in plans[-1]["steps"]] == ["done", "done", "done"]
    run = await done(runtime, owner, run_id)
    assert (run.status, run.status_reason) == ("completed", None)
    result: Any = run.result
    assert [source["url"] for source in result["sources"]] == ["corpus:tides", "corpus:solar-power"]
    assert "Demo model:" in result["markdown"]
    assert result["markdown"].endswith("1. Tides (corpus:tides)\n2. Solar power (corpus:solar-power)")
    assert set(re.findall(r"\[(\w+)\]", result["markdown"])) == {"1", "2"}
    parts = await begun_by(runtime, owner, run_id)
    assert [(part.status, part.trigger, part.parent_run_id) for part in parts] == [("completed", "sub_run", run_id)] * 2
    assert run.total_usage == added_up([run.usage, *(part.total_usage for part in parts)])


STEPS = 11
LATENCY_MS = 100
TRIES = 3


async def test_four_researchers_are_three_times_as_fast_as_one(open_desk: OpenDesk) -> None:
    """With 100 ms for each answer of the model. The best of some tries counts: others share the machine."""
    ref = ref_of("corpus:tides")
    read = say("read_source", {"source": "corpus:tides"}, delay_ms=LATENCY_MS)
    think = say("current_time", {}, delay_ms=LATENCY_MS)
    writer = f"It rises.\n{script(reported(f'Tides rise [{ref}].', delay_ms=LATENCY_MS))}\nSo it is."
    steps = [read, *[think] * (STEPS - 1), found(writer, ref, delay_ms=LATENCY_MS)]
    wanted = topic(*(question(f"part{n}", *steps) for n in range(4)), delay_ms=LATENCY_MS)

    async def seconds(desk: Desk) -> float:
        began = time.monotonic()
        run_id = await research(desk.runtime, desk.owner, wanted, options={"sources": ["corpus"]})
        run = await done(desk.runtime, desk.owner, run_id)
        assert (run.status, run.total_usage.requests) == ("completed", 2 + 4 * (STEPS + 1))
        return time.monotonic() - began

    async with open_desk(SIXLANE_WORKER_CONCURRENCY="1") as desk:
        serial = await seconds(desk)
    best = serial
    async with open_desk() as desk:
        for _ in range(TRIES):
            best = min(best, await seconds(desk))
            if serial / best >= 3:
                break
    print(f"\none after the other {serial:.2f} s, side by side {best:.2f} s: {serial / best:.2f} times as fast")
    assert serial / best >= 3


def added_up(parts: list[Usage]) -> Usage:
    """What several runs used together; a cost that is not known of one is not known of all."""
    counts = {name: sum(getattr(part, name) for part in parts) for name in Usage.model_fields if name != "cost_usd"}
    costs = [part.cost_usd for part in parts]
    known = None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0))
    return Usage(**counts, cost_usd=known)
