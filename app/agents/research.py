"""Research as data: the plan, what researchers find, the report; where a run of it stands, and what comes next.

Free of the agent library: whoever shows progress reads it too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.models.research import MOST_BREADTH, SourceKind
from app.models.run import Limits, Usage

KEY = "research"
"""Where a run's state and input hold what is research's."""

WRITERS_SHARE = Decimal("0.2")
"""The part of what is left that is kept for the report while researchers work."""

Short = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Long = Annotated[str, StringConstraints(min_length=1, max_length=20_000, strip_whitespace=True)]
PartStatus = Literal["open", "done", "failed"]


class Part(BaseModel):
    """One question that a researcher works on alone, knowing nothing of the others."""

    title: Short
    question: Long = Field(description="The question in full: the researcher sees nothing else.")


class Plan(BaseModel):
    """A topic, split into parts that do not overlap and that together answer it."""

    parts: list[Part] = Field(min_length=1, max_length=MOST_BREADTH)


class Statement(BaseModel):
    """Something that was found, in a sentence or two, with what it was read in."""

    text: Long
    refs: list[str] = Field(min_length=1, max_length=10, description="References of the sources, like src-5f3a9c1e.")


class Finding(BaseModel):
    """What a researcher found, and what could not be found or read."""

    statements: list[Statement] = Field(max_length=60)
    gaps: list[Short] = Field(default_factory=list[str], max_length=20)


class Section(BaseModel):
    """A section of the report, in Markdown without headings; every claim ends with its reference in brackets."""

    heading: Short
    text: Long


class Report(BaseModel):
    """The report. Claims carry the references of the findings that they rest on, like [src-5f3a9c1e]."""

    title: Short
    summary: Long = Field(description="The answer in a few sentences, with references.")
    sections: list[Section] = Field(min_length=1, max_length=20)
    open_questions: list[Short] = Field(default_factory=list[str], max_length=20)

    def texts(self) -> list[str]:
        """Everything that people read, in the order in which they do."""
        bodies = [text for section in self.sections for text in (section.heading, section.text)]
        return [self.title, self.summary, *bodies, *self.open_questions]


class Further(BaseModel):
    """Questions that the findings leave open and that are worth another round."""

    parts: list[Part] = Field(min_length=1, max_length=MOST_BREADTH)


class State(BaseModel):
    """Where a run of research stands between attempts: its rounds of parts, and how often the model had spoken."""

    model_config = ConfigDict(frozen=True)

    rounds: list[list[Part]] = Field(default_factory=list[list[Part]])
    said: int = 0

    @property
    def parts(self) -> list[tuple[str, Part]]:
        """Every part with the id that its call is awaited under."""
        return [
            (part_id(at, number), part) for at, parts in enumerate(self.rounds) for number, part in enumerate(parts)
        ]

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> "State":
        """What a run remembers, or the beginning."""
        return cls.model_validate((stored or {}).get(KEY) or {})


def part_id(round_: int, number: int) -> str:
    """The id of a part: which round, which part of it, counted from 1."""
    return f"part-{round_ + 1}-{number + 1}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A part and what became of it. `detail` says why, where it failed; `problems` are calls of its that failed."""

    part: Part
    run_id: UUID | None
    status: PartStatus
    finding: Finding | None = None
    detail: str | None = None
    problems: tuple[str, ...] = ()


class Brief(BaseModel):
    """What the run of a researcher carries beside its question: where it may look."""

    model_config = ConfigDict(frozen=True)

    part: str
    kinds: list[SourceKind]
    urls: list[str] = Field(default_factory=list[str])
    files: list[str] = Field(default_factory=list[str])

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Brief | None":
        """What stands in a run's input; None for a run that is no researcher's."""
        found = stored.get(KEY)
        return cls.model_validate(found) if found is not None else None


def finding_of(data: Any) -> Finding | None:
    """A researcher's answer as a finding; None when it is none."""
    try:
        return Finding.model_validate(data) if data is not None else None
    except ValidationError:
        return None


def progress(outcomes: Sequence[Outcome], *, written: bool = False) -> dict[str, Any]:
    """The payload of `plan.updated`: every part and the report, and the share that is done, from 0 to 1."""
    steps: list[dict[str, Any]] = [
        {
            "title": one.part.title,
            "status": one.status,
            "run_id": str(one.run_id) if one.run_id else None,
        }
        for one in outcomes
    ]
    steps.append({"title": "Report", "status": "done" if written else "open", "run_id": None})
    ended = sum(one.status != "open" for one in outcomes) + written
    return {"steps": steps, "done": round(ended / len(steps), 3)}


def left_of(limits: Limits, used: Usage, seconds: float) -> Limits:
    """What is left of the limits of a whole piece of research; nothing is ever less than 0."""
    return Limits(
        steps=_rest(limits.steps, used.requests),
        tool_calls=_rest(limits.tool_calls, used.tool_calls),
        tokens=_rest(limits.tokens, used.total_tokens),
        cost_usd=None if limits.cost_usd is None else max(limits.cost_usd - (used.cost_usd or 0), Decimal(0)),
        seconds=None if limits.seconds is None else max(limits.seconds - seconds, 0.0),
    )


def share_of(left: Limits, among: int) -> Limits:
    """Each researcher's share of what is left. Time is not divided: they work side by side."""
    part = (1 - WRITERS_SHARE) / among
    return Limits(
        steps=None if left.steps is None else int(left.steps * part),
        tool_calls=None if left.tool_calls is None else int(left.tool_calls * part),
        tokens=None if left.tokens is None else int(left.tokens * part),
        cost_usd=None if left.cost_usd is None else (left.cost_usd * part).quantize(Decimal("0.000001")),
        seconds=None if left.seconds is None else left.seconds * float(1 - WRITERS_SHARE),
    )


def exhausted(limits: Limits) -> str | None:
    """Which of these limits leaves no room for anything; tool calls are not among them."""
    amounts = {"steps": limits.steps, "tokens": limits.tokens, "cost_usd": limits.cost_usd, "seconds": limits.seconds}
    return next((name for name, amount in amounts.items() if amount is not None and amount <= 0), None)


def _rest(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(limit - used, 0)
