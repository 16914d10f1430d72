"""What the ledger, the provider and the receiver say when it is over: nothing lost, nothing done twice."""

import json
from collections import Counter

from support.audit import Audit
from support.fleet import Theatre
from support.load import Order

SLACK_SECONDS = 0.05
"""How far the provider's clock and the ledger's may be apart: it is one machine, but two processes."""


async def nothing_lost(audit: Audit, orders: list[Order]) -> None:
    """Every order made one run, and each run came to the answer that was wanted."""
    assert await audit.lost() == []
    ended = Counter(order.run["status"] for order in orders)
    attempts = Counter(order.run["attempt"] for order in orders)
    assert len(await audit.marks()) == len(orders), "an order made more than one run, or none"
    for order in orders:
        assert (order.run["status"], order.run["result"]) == ("completed", order.answer), order
    print(f"lost: 0, ended: {dict(ended)}, attempts: {dict(sorted(attempts.items()))}")


async def no_step_twice(world: Theatre, audit: Audit) -> None:
    """No model request came after the response that it asks for was stored."""
    stored, marks = await audit.responses(), await audit.marks()
    log = world.model.log()
    for entry in log:
        done = stored[marks[entry["marker"]]]
        assert entry["step"] < len(done), f"a step more than there are: {entry}"
        late = entry["started_at"] - done[entry["step"]]
        assert late <= SLACK_SECONDS, f"step {entry['step']} of {entry['marker']} was asked {late:.3f} s too late"
    print(f"repeated finished steps: 0 of {len(log)} model requests for {sum(map(len, stored.values()))} steps")


async def no_effect_twice(world: Theatre, audit: Audit, orders: list[Order]) -> None:
    """The receiver saw every effect: once, or, where it honours the key, always under the same key."""
    keys: dict[str, list[str]] = {}
    for entry in world.receiver.log():
        keys.setdefault(entry["marker"], []).append(entry["key"])
    wanted = [effect for order in orders for effect in order.effects]
    assert set(keys) <= set(wanted), "effects that nobody ordered"
    for effect in set(wanted) - set(keys):
        journal = await audit.rows("SELECT * FROM tool_calls WHERE arguments->'data'->>'note' LIKE $1", f"%{effect}")
        approvals = await audit.rows("SELECT * FROM approvals WHERE arguments->'data'->>'note' LIKE $1", f"%{effect}")
        raise AssertionError(f"{effect} never arrived: {journal} {approvals}")
    for effect, seen in keys.items():
        assert len(set(seen)) == 1, f"{effect} went out under several keys: {seen}"
        assert len(seen) == 1 or "safe" in effect, f"{effect} happened {len(seen)} times"
    again = sum(len(seen) - 1 for seen in keys.values())
    print(f"repeated effects: 0 of {len(wanted)} ({again} posts sent again with their key)")


async def streams_whole(audit: Audit, orders: list[Order], *, jumps: bool = False) -> None:
    """Every client saw the ledger's events, all and once; `jumps` allows for a bus that has forgotten some."""
    rows = await audit.rows("SELECT run_id, first_seq, events FROM run_events ORDER BY run_id, first_seq")
    stored: dict[str, dict[int, tuple[str, str]]] = {}
    for row in rows:
        events = enumerate(json.loads(row["events"]), row["first_seq"])
        stored.setdefault(str(row["run_id"]), {}).update((seq, (one["type"], one["ts"])) for seq, one in events)
    streams = [order.stream for order in orders if order.stream is not None]
    for stream in streams:
        seen = {event["seq"]: (event["type"], event["ts"]) for event in stream.events}
        numbers = [event["seq"] for event in stream.events]
        assert numbers == sorted(seen), f"{stream.run_id}: twice or out of order: {numbers}"
        ledger = stored[stream.run_id]
        lacking = {seq: event for seq, event in ledger.items() if seen.get(seq) != event}
        assert not lacking, f"{stream.run_id}: stored and not seen: {lacking}, seen {seen}"
        assert jumps or seen.keys() == ledger.keys(), f"{stream.run_id}: seen and not stored: {seen} {ledger}"
    events, back = sum(len(stream.events) for stream in streams), sum(stream.resumed for stream in streams)
    print(f"streams: {len(streams)} with {events} events, resumed {back} times: gaps 0, duplicates 0")
