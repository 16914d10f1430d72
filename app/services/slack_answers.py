"""What Slack is told of the runs that began there: their answers, and the decisions that they wait for.

Facts become rows of Slack's outbox, in the unit that settles the run; nothing is sent here.
"""

from collections.abc import Sequence

from app.database.unit import Unit
from app.models.approval import Approval
from app.models.run import Run, RunResult


async def after_run(unit: Unit, run: Run, result: RunResult | None) -> None:
    """Write down the answer of a run that has ended, for the thread that it came from."""


async def waiting(unit: Unit, run: Run, approvals: Sequence[Approval]) -> None:
    """Write down a card for each decision that the run waits for."""
