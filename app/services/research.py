"""A piece of research, carried out in plain Python: plan, researchers side by side, a report with sources.

Each attempt asks the model once, as planner or as writer, and then ends or waits for the runs that it has begun.
What was decided stands in the run's `state`, what was found in the results of those runs: whatever dies, nothing that
was finished is done again.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Protocol

from pydantic_ai import Agent, ModelRetry, RunContext, ToolOutput
from pydantic_ai.run import AgentRunResult

from app.agents.citations import cited, complaint
from app.agents.context import AgentContext
from app.agents.research import (
    KEY,
    Brief,
    Finding,
    Further,
    Outcome,
    Part,
    Plan,
    Report,
    State,
    exhausted,
    left_of,
    part_id,
    progress,
    share_of,
)
from app.agents.research_words import PLANNER, WRITER, draft, markdown, numbers_of, plan_prompt, write_prompt
from app.models.ids import new_id
from app.models.research import ResearchOptions, SourceKind
from app.models.run import Limits, Run, Usage
from app.services import intake
from app.services.attempt import Attempt
from app.services.awaited import Await, Child
from app.services.ending import Ending
from app.services.history import step_of
from app.services.research_known import Known, document, look
from app.services.sources import root_of
from app.services.workshop import Workshop

PATTERN = "research"
TOOL = "researcher"
"""What the calls are named that the run waits for."""

_LINK = re.compile(r"https?://[^\s<>()\"'`]+", re.IGNORECASE)
_RETRIES = 3


class Ask(Protocol):
    """Runs an agent under the ledger of the attempt, within limits."""

    async def __call__(
        self, agent: Agent[AgentContext, Any], prompt: str | None, limits: Limits
    ) -> AgentRunResult[Any]:
        """What the agent answers. `prompt` None goes on where the history ends."""
        ...


def is_research(run: Run) -> bool:
    """Whether a run is a whole piece of research, and not one of its researchers."""
    return run.pattern == PATTERN and Brief.of(run.input) is None


class Research:
    """One attempt at a piece of research."""

    def __init__(self, shared: Workshop, attempt: Attempt, ask: Ask) -> None:
        self._shared = shared
        self._attempt = attempt
        self._ask = ask
        self._state = State.of(attempt.run.state)
        self._options = ResearchOptions.model_validate(attempt.run.input.get("options") or {}, strict=False)
        self._topic: str = attempt.run.input.get("prompt") or ""
        self._limits = Limits.model_validate(attempt.run.limits)
        self._known = Known()

    async def advance(self) -> Ending:
        """Take the next step. Raises what the agent library raises, and LeaseLost."""
        if not self._state.rounds:
            plan: Plan = await self._say(self._planner(), plan_prompt(self._topic, self._options.breadth))
            return self._begin(plan.parts)
        run = self._attempt.run
        async with self._shared.database.begin(run.workspace_id) as unit:
            self._known = await look(unit, run, self._state, self._attempt.awaited)
        found = [one for one in self._known.outcomes if one.finding is not None and one.finding.statements]
        if not found:
            return self._nothing()
        further = self._may_go_on()
        prompt = write_prompt(self._topic, self._known.outcomes, list(self._known.sources.values()), further)
        answer: Report | Further = await self._say(self._writer(further > 0), prompt)
        if isinstance(answer, Further):
            return self._begin(answer.parts)
        return await self._report(answer)

    def partial(self, why: str) -> str | None:
        """What there is to show when the run is stopped now."""
        if not any(one.finding for one in self._known.outcomes):
            return None
        return draft(self._topic, self._known.outcomes, self._known.sources, why)

    # Asking

    async def _say(self, agent: Agent[AgentContext, Any], prompt: str) -> Any:
        """Ask; an attempt that finds the question in the log goes on after it."""
        attempt = self._attempt
        asked = step_of(attempt.messages, attempt.run.id) > self._state.said
        left = left_of(self._limits, self._known.below, self._known.waited)
        result = await self._ask(agent, None if asked else prompt, left)
        attempt.seen(result.all_messages(), result.usage)
        return result.output

    def _agent(self, instructions: str, output: Any) -> Agent[AgentContext, Any]:
        run = self._attempt.run
        return Agent(
            self._shared.models.resolve(run.model),
            name=run.agent,
            deps_type=AgentContext,
            instructions=instructions,
            output_type=output,
            retries={"output": _RETRIES},
        )

    def _planner(self) -> Agent[AgentContext, Any]:
        return self._agent(PLANNER, ToolOutput(Plan, name="plan"))

    def _writer(self, may_ask: bool) -> Agent[AgentContext, Any]:
        report = ToolOutput(Report, name="report")
        agent = self._agent(WRITER, [report, ToolOutput(Further, name="research_further")] if may_ask else report)
        agent.output_validator(self._check)
        return agent

    def _check(self, _ctx: RunContext[AgentContext], answer: Report | Further) -> Report | Further:
        """Refuse a report that cites anything that was never fetched, or nothing at all."""
        if isinstance(answer, Further):
            return answer
        sources = self._known.sources
        wrong = complaint(answer.texts(), sources.keys(), [source.url for source in sources.values()])
        if wrong is None and not cited(answer.texts()):
            wrong = f"Nothing is cited. End every claim with its reference, like [{next(iter(sources))}]."
        if wrong is not None:
            raise ModelRetry(wrong)
        return answer

    # Researchers

    def _begin(self, parts: Sequence[Part]) -> Ending:
        """Wait for a round of researchers, each with its share of what is left."""
        attempt, run = self._attempt, self._attempt.run
        parts, share = self._affordable(parts[: self._options.breadth])
        if not parts:
            return self._stopped(share)
        at, step = len(self._state.rounds), step_of(attempt.messages, run.id)
        state = State(rounds=[*self._state.rounds, list(parts)], said=step)
        calls = [self._call(part_id(at, number), part, share, step) for number, part in enumerate(parts)]
        runs = [
            Outcome(part, call.child.order.id, "open") for part, call in zip(parts, calls, strict=True) if call.child
        ]
        return Ending(
            "waiting",
            "sub_run",
            f"{len(calls)} researchers are on their way.",
            awaited=calls,
            state={**(run.state or {}), KEY: state.model_dump(mode="json")},
            told=[("plan.updated", progress([*self._known.outcomes, *runs]))],
        )

    def _left(self) -> Limits:
        """What is left of the limits, after what this run and its researchers have used."""
        own, below = self._attempt.usage, self._known.below
        used = Usage(
            requests=own.requests + below.requests,
            tool_calls=own.tool_calls + below.tool_calls,
            total_tokens=own.total_tokens + below.total_tokens,
            cost_usd=(own.cost or Decimal(0)) + (below.cost_usd or Decimal(0)),
        )
        return left_of(self._limits, used, self._known.waited + self._attempt.seconds)

    def _affordable(self, parts: Sequence[Part]) -> tuple[Sequence[Part], Limits]:
        """As many of the parts as what is left allows, and the share of each."""
        left = self._left()
        while parts and exhausted(share_of(left, len(parts))):
            parts = parts[:-1]
        return parts, share_of(left, max(len(parts), 1))

    def _call(self, name: str, part: Part, share: Limits, step: int) -> Await:
        run = self._attempt.run
        brief = Brief(part=name, kinds=self._kinds(), urls=self._urls(), files=run.input.get("files") or [])
        order = intake.Order(
            conversation_id=new_id(),
            pattern=PATTERN,
            lane="research",
            agent=run.agent,
            agent_version=run.agent_version,
            model=run.model,
            max_attempts=run.max_attempts,
            trigger="sub_run",
            created_by=run.created_by,
            prompt=part.question,
            limits=share.model_dump(mode="json", exclude_none=True),
            parent=replace(run, taint=sorted(self._attempt.tainted)),
            more={KEY: brief.model_dump(mode="json"), "output_schema": Finding.model_json_schema()},
        )
        history = self._attempt.history
        child = Child(order, title=part.title, context_data=history.context_data if history else {})
        return Await(name, TOOL, step, part.model_dump(), child=child)

    def _kinds(self) -> list[SourceKind]:
        if self._options.sources is not None:
            return self._options.sources
        kinds: list[SourceKind] = ["corpus"] if self._attempt.run.model == "demo" else ["web"]
        return [*kinds, "files"] if self._attempt.run.input.get("files") else kinds

    def _urls(self) -> list[str]:
        """Pages that a person named: in the options, and in the topic unless others could write into that."""
        named = [] if self._attempt.run.taint else [link.rstrip(".,;:!?*_") for link in _LINK.findall(self._topic)]
        return list(dict.fromkeys([*self._options.urls, *named]))

    def _may_go_on(self) -> int:
        """How many further parts may be researched; 0 once the depth is reached or little is left."""
        if len(self._state.rounds) >= self._options.depth:
            return 0
        return 0 if exhausted(share_of(self._left(), self._options.breadth)) else self._options.breadth

    # What came of it

    async def _report(self, report: Report) -> Ending:
        run, known = self._attempt.run, self._known
        numbers = numbers_of(report.texts(), known.sources)
        await self._attempt.write(lambda unit: unit.sources.number(root_of(run), numbers))
        self._attempt.events.emit("plan.updated", **progress(known.outcomes, written=True))
        text = markdown(report, numbers, known.sources, known.outcomes)
        data = document(known, report.model_dump(mode="json"), text, numbers)
        return Ending("completed", text=text, data=data)

    def _nothing(self) -> Ending:
        why = [
            f"{one.part.title}: {told}" for one in self._known.outcomes for told in (one.detail, *one.problems) if told
        ]
        detail = f"The researchers found nothing that could be cited. {' '.join(why[:8])}".strip()
        return Ending("failed", "nothing_found", detail, text=self.partial(detail))

    def _stopped(self, share: Limits) -> Ending:
        which = exhausted(share) or "tokens"
        detail = f"What is left of the limit `{which}` is not enough for a researcher; raise it to go on."
        return Ending("failed", f"limit_{which}", detail, text=self.partial(detail))
