"""Measure Sixlane beside the floor and print ratios: `python -m benchmarks.run [--quick] [--only NAME]`."""

import argparse
import asyncio
import gc
import platform
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import count
from os import cpu_count
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks import background, ledger, turns, webhooks
from benchmarks.turns import Load
from benchmarks.world import World, build

console = Console(width=120)


class Report:
    """The lines of the table, each with its goal."""

    def __init__(self) -> None:
        self.table = Table("measured", "floor", "Sixlane", "ratio", "goal", "", title="Sixlane beside the floor")

    def ratio(self, what: str, floor: float, ours: float, ratio: float, goal: float, *, least: bool = False) -> None:
        """A figure that is judged by its ratio to the floor's."""
        met = ratio >= goal if least else ratio <= goal
        sign = "≥" if least else "≤"
        self._row(what, f"{floor:.2f}", f"{ours:.2f}", f"{ratio:.2f}", f"{sign} {goal}", met)

    def value(self, what: str, ours: float, goal: float | None = None) -> None:
        """A figure that is judged by itself, or only told."""
        self._row(what, "", f"{ours:.2f}", "", f"≤ {goal}" if goal else "", goal is None or ours <= goal)

    def _row(self, what: str, floor: str, ours: str, ratio: str, goal: str, met: bool) -> None:
        self.table.add_row(what, floor, ours, ratio, goal, "" if not goal else "met" if met else "[bold]MISSED")


class Bench:
    """One run of the benchmark: how often, how much, and what came out."""

    def __init__(self, world: World, *, quick: bool) -> None:
        self.world = world
        self.report = Report()
        self.warm_ups, self.repeats = (1, 3) if quick else (2, 5)
        self.scale = 1 if quick else 3

    async def repeated(self, measure: Callable[[], Awaitable[dict[str, Load]]]) -> list[dict[str, Load]]:
        """Interleaved repeats, warm-ups left out."""
        found = [await measure() for _ in range(self.warm_ups + self.repeats)]
        return found[self.warm_ups :]

    async def lone(self) -> None:
        """CPU and wait of turns one at a time."""
        loads = await self._turns(1, 60 * self.scale, 1.5)
        self._compare("wait ms of a lone turn", loads, "median", None)

    async def crowd(self) -> None:
        """CPU and throughput of turns of 64 callers."""
        loads = await self._turns(64, 192 * self.scale, 1.7)
        self._compare("turns/s, c=64", loads, "per_second", 0.6, least=True)

    async def _turns(self, concurrency: int, number: int, goal: float) -> list[dict[str, Load]]:
        loads = await self.repeated(lambda: turns.short(self.world, concurrency, number))
        name = f"c={concurrency}"
        self._compare(f"CPU ms a turn, {name}", loads, "cpu", goal)
        bare, middle = [one["sixlane"].cpu / one["bare"].cpu for one in loads], median(one["bare"].cpu for one in loads)
        self.report.table.add_row(f"  beside a floor without tools, {name}", f"{middle:.2f}", "", f"{median(bare):.2f}")
        self.report.value(f"  CPU ms of PostgreSQL a turn, {name}", median(one["sixlane"].postgres for one in loads))
        return loads

    def _compare(
        self, what: str, loads: list[dict[str, Load]], field: str, goal: float | None, *, least: bool = False
    ) -> None:
        floor, ours = ([getattr(one[side], field) for one in loads] for side in ("floor", "sixlane"))
        ratio = median(b / a for a, b in zip(floor, ours, strict=True))
        if goal is None:
            self.report.table.add_row(what, f"{median(floor):.2f}", f"{median(ours):.2f}", f"{ratio:.2f}")
        else:
            self.report.ratio(what, median(floor), median(ours), ratio, goal, least=least)

    async def long(self) -> None:
        """Turns at a thousand messages."""
        conversation = await turns.long_conversation(self.world)
        lengths, number = count(turns.LONG, 8 * self.scale), 4 * self.scale
        loads = await self.repeated(lambda: turns.long(self.world, conversation, next(lengths), number))
        self._compare("wait ms of a turn at 1,000 messages", loads, "median", 1.1)
        self._compare("CPU ms of a turn at 1,000 messages", loads, "cpu", 1.1)

    async def streams(self) -> None:
        """Time to the first token."""
        found = [await turns.first_tokens(self.world, 10 * self.scale) for _ in range(self.warm_ups + self.repeats)]
        found = found[self.warm_ups :]
        floor, ours = median(one["floor"] for one in found), median(one["sixlane"] for one in found)
        self.report.ratio(
            "ms to the first token, lone stream", floor, ours, median(one["sixlane"] / one["floor"] for one in found), 2
        )

    async def background(self) -> None:
        """Accepted → model called."""
        await background.starts(self.world, 10)
        accept, middle, late = await background.starts(self.world, 40 * self.scale)
        self.report.value("ms to accept a task", accept)
        self.report.value("ms from accepted to model called, p50", middle, 15)
        self.report.value("ms from accepted to model called, p95", late, 30)

    async def ledger(self) -> None:
        """Commits, bytes, claims. It fills the queue: only what asks for no claims comes after it."""
        commits, kib = await ledger.per_turn(self.world, 800 * self.scale)
        self.report.value("commits a turn", commits, 2.05)
        self.report.value("KiB of database a turn", kib, 4)
        await self._stop_worker()
        await ledger.fill_queue(self.world.database, "background")
        await ledger.claims(self.world.database, 20)
        self.report.value("ms to claim 1 of 50,000", await ledger.claims(self.world.database, 200), 2)
        self.report.value("ms to claim 16 of 50,000", await ledger.claims(self.world.database, 20, 16))

    async def webhooks(self) -> None:
        """Signed events accepted. Nobody claims their runs meanwhile: the machine is the door's alone."""
        await self._stop_worker()
        floor, ours = await webhooks.hooks(self.world)
        loads = await self.repeated(lambda: webhooks.accept(self.world, floor, ours, 1_000 * self.scale))
        name = f"c={webhooks.CONCURRENCY}"
        self._compare(f"webhooks/s beside the HMAC alone, {name}", loads, "per_second", None)
        self._compare(f"CPU ms a webhook, {name}", loads, "cpu", None)
        self.report.value("  CPU ms of PostgreSQL a webhook", median(one["sixlane"].postgres for one in loads))
        self.report.value("ms a webhook", median(one["sixlane"].per_second ** -1 * 1e3 for one in loads), 1.0)

    async def _stop_worker(self) -> None:
        self.world.worker.terminate()
        await asyncio.to_thread(self.world.worker.wait, 30)


PARTS = ("lone", "crowd", "long", "streams", "background", "ledger", "webhooks")


async def measure(*, quick: bool, only: list[str]) -> None:
    """Run the parts and print the table."""
    async with build() as world:
        gc.collect()
        gc.freeze()
        bench = Bench(world, quick=quick)
        for part in only or PARTS:
            console.log(part)
            await getattr(bench, part)()
    about = (
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {cpu_count()} CPUs, {platform.machine()}"
    )
    console.print(bench.report.table, about, sep="\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter repeats")
    parser.add_argument("--only", action="append", choices=PARTS, default=[], help="this part (may be repeated)")
    given = parser.parse_args()
    asyncio.run(measure(quick=given.quick, only=given.only))


if __name__ == "__main__":
    main()
