"""Research: a plan, researchers side by side, and a report whose every source was really read."""

import re
from decimal import Decimal
from typing import Any

from support.research import begun_by, done, research, told

from app.models.identity import Principal
from app.models.run import Usage
from app.runtime import Runtime


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


def added_up(parts: list[Usage]) -> Usage:
    """What several runs used together; a cost that is not known of one is not known of all."""
    counts = {name: sum(getattr(part, name) for part in parts) for name in Usage.model_fields if name != "cost_usd"}
    costs = [part.cost_usd for part in parts]
    known = None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0))
    return Usage(**counts, cost_usd=known)
