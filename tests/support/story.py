"""What became of runs, by the ledger's witnesses: who held them, who fell, and leases that were lost without a blow."""

import contextlib
import itertools
from collections.abc import AsyncGenerator
from uuid import UUID

from support.audit import Audit, Move
from support.fleet import Fleet

_TOLD = 5


def dropped(moves: dict[UUID, list[Move]], fleet: Fleet) -> list[Move]:
    """Claims that others took away from a process that nobody had struck."""
    falls = {member.owner: member.fell_at for member in fleet.fallen}
    found: list[Move] = []
    for own in moves.values():
        for move, following in itertools.pairwise(own):
            taken = move.status == following.status == "running"
            if taken and (falls.get(move.owner or "") or following.at) >= following.at:
                found.append(move)
    return found


def story(moves: list[Move], fleet: Fleet) -> str:
    """One run's moves, in seconds since its birth, with the fall of whoever held it."""
    names = {member.owner: member for member in (*fleet.fallen, *fleet.members)}
    lines = [f"{moves[0].run_id}, born at {moves[0].at:.2f}:"]
    for move in moves:
        member = names.get(move.owner or "")
        who = f" by {member.name}" if member else ""
        fell = f", which fell at {member.fell_at - moves[0].at:.2f}" if member and member.fell_at else ""
        lines.append(f"  {move.at - moves[0].at:6.2f} {move.status}, attempt {move.attempt}{who}{fell}")
    return "\n".join(lines)


@contextlib.asynccontextmanager
async def explained(audit: Audit, fleet: Fleet) -> AsyncGenerator[None]:
    """When the block fails, tell what became of the runs that were tried most often."""
    try:
        yield
    except BaseException as error:
        moves = await audit.moves()
        hardest = sorted(moves.values(), key=lambda own: own[-1].attempt, reverse=True)[:_TOLD]
        error.add_note("\n".join(story(own, fleet) for own in hardest))
        error.add_note(f"leases lost without a blow: {dropped(moves, fleet)}")
        raise
