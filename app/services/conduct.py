"""Conducting one attempt: from the run's row to the agent loop, and from whatever ends the loop to an ending."""

from collections.abc import AsyncIterable, Mapping
from datetime import UTC, datetime
from random import uniform
from typing import Any

import pydantic_core
import structlog
from pydantic_ai import Agent, CancellationToken, RunContext
from pydantic_ai.exceptions import RunCancelled, RunTimedOut
from pydantic_ai.messages import (
    AgentStreamEvent,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import DeferredToolRequests

from app.agents.context import AgentContext, Grants, Target
from app.agents.llm import Permanent, before_sending, classify
from app.agents.text import clean
from app.agents.tool import tightened
from app.models.errors import LeaseLost, Unavailable
from app.models.run import Limits, Run
from app.services import deferral
from app.services.attempt import Attempt
from app.services.definitions import definition_of, settle
from app.services.delegating import usage_limits
from app.services.ending import Ending
from app.services.equipment import equip
from app.services.journal import Journal
from app.services.notes import Notes
from app.services.research import Research, is_research
from app.services.sidekick import state_of
from app.services.sources import desk_of
from app.services.words import began_by, words_of
from app.services.workshop import Workshop

log = structlog.get_logger(__name__)

BACKOFF_BASE = 1.0
BACKOFF_MOST = 60.0


class Conduct:
    """One attempt, from claim to ending. `run` returns how it ends and writes only checkpoints and journal."""

    def __init__(self, workshop: Workshop, attempt: Attempt, token: CancellationToken) -> None:
        self._workshop = workshop
        self._attempt = attempt
        self._token = token
        self._research: Research | None = None

    async def run(self) -> Ending:
        """Carry out the attempt. Raises LeaseLost, Unavailable (database), and CancelledError from outside."""
        attempt = self._attempt
        problem = await self._settle()
        attempt.events.emit("run.started", model=attempt.run.model, agent=attempt.run.agent)
        await attempt.load()
        if problem is not None:
            return self._failed(problem)
        if attempt.run.cancel_requested_at is not None:
            return self._cancelled()
        try:
            return await self._drive()
        except (LeaseLost, Unavailable):
            raise
        except RunTimedOut as error:
            attempt.seen(error.all_messages(), error.usage)
            return self._failed(error)
        except RunCancelled as error:
            attempt.seen(error.all_messages(), error.usage)
            return self._cancelled()
        except Exception as error:
            return self._failed(error)

    async def _settle(self) -> Exception | None:
        """Decide what the run runs on, if that is open; returns why that cannot be."""
        shared, attempt = self._workshop, self._attempt
        try:
            attempt.run = await settle(shared.database, shared.registry, shared.models, attempt.run)
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:
            return error
        return None

    async def _drive(self) -> Ending:
        attempt, run = self._attempt, self._attempt.run
        before_sending.set(attempt.make_sure)
        if is_research(run):
            self._research = Research(self._workshop, attempt, self._ask)
            return await self._research.advance()
        registry = self._workshop.registry
        definition = await definition_of(self._workshop.database, registry, run)
        words = await words_of(self._workshop.database, run, attempt.messages)
        limits = Limits.model_validate(run.limits)
        model = self._workshop.models.resolve(run.model)
        agent: Agent[AgentContext, Any] = registry.build(definition, registry.pattern(run.pattern), model=model)
        extra = await equip(self._workshop, attempt, definition)
        specs = registry.specs(definition) | {spec.name: spec for spec in extra.specs}
        specs = {name: tightened(spec, definition.policies.get(name)) for name, spec in specs.items()}
        result = await agent.run(
            attempt.prompt,
            message_history=attempt.messages or None,
            deferred_tool_results=deferral.answers(self._attempt),
            conversation_id=str(run.conversation_id),
            run_id=f"{run.id}:{run.fence}",
            deps=self._context(words, definition.name if definition.memory == "agent" else ""),
            usage=attempt.usage,
            usage_limits=usage_limits(limits, extra.spent),
            timeout=max(limits.seconds - attempt.seconds, 0.001) if limits.seconds is not None else None,
            cancellation_token=self._token,
            event_stream_handler=self._stream if run.streamed else None,
            model=model,
            output_type=extra.output,
            instructions=extra.instructions or None,
            model_settings=extra.settings or None,
            toolsets=extra.toolsets or None,
            capabilities=[Journal(attempt, specs, extra.teller(definition.policies)), *extra.capabilities],
            infer_name=False,
        )
        attempt.seen(result.all_messages(), result.usage)
        return self._finished(result)

    async def _ask(self, agent: Agent[AgentContext, Any], prompt: str | None, limits: Limits) -> AgentRunResult[Any]:
        """One question of a pattern in plain Python: no tools, and the same ledger."""
        attempt, run = self._attempt, self._attempt.run
        return await agent.run(
            prompt,
            message_history=attempt.messages or None,
            conversation_id=str(run.conversation_id),
            run_id=f"{run.id}:{run.fence}",
            deps=self._context(await words_of(self._workshop.database, run, attempt.messages)),
            usage=attempt.usage,
            usage_limits=usage_limits(limits, {}),
            timeout=max(limits.seconds - attempt.seconds, 0.001) if limits.seconds is not None else None,
            cancellation_token=self._token,
            capabilities=[Journal(attempt, {})],
            infer_name=False,
        )

    def _context(self, words: str, notes_of: str = "") -> AgentContext:
        run = self._attempt.run
        history = self._attempt.history
        assert history is not None
        return AgentContext(
            run_id=run.id,
            conversation_id=run.conversation_id,
            workspace_id=run.workspace_id,
            user_id=run.user_id,
            pattern=run.pattern,
            attempt=run.attempt,
            notes=Notes(self._workshop.database, run, tainted=self._attempt.tainted, agent=notes_of),
            outbound=self._workshop.outbound,
            now=lambda: datetime.now(UTC),
            effect_key=self._attempt.effect_key,
            context_data=history.context_data,
            targets=tuple(Target(**target) for target in history.targets),
            taint=self._attempt.tainted,
            prompt=words,
            trigger=began_by(run),
            present=self._workshop.registry.pattern(run.pattern).lane == "interactive",
            grants=_grants(history.grants),
            mail=self._workshop.mail(run) if self._workshop.mail else None,
            planner=self._workshop.planner(run) if self._workshop.planner else None,
            sources=desk_of(self._workshop, run),
            app_state=state_of(self._workshop, self._attempt),
            shelf=self._workshop.files.shelf(run) if self._workshop.files else None,
        )

    async def _stream(self, _ctx: RunContext[AgentContext], events: AsyncIterable[AgentStreamEvent]) -> None:
        written = self._attempt.events
        async for event in events:
            if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                text, part = event.delta.content_delta, event.index
            elif isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                text, part = event.part.content, event.index
            else:
                continue
            if text:
                written.delta(clean(text), part)
            if written.needs_commit:
                await self._attempt.save_events()

    # Endings

    def _finished(self, result: AgentRunResult[Any]) -> Ending:
        output = result.output
        if isinstance(output, DeferredToolRequests):
            return deferral.wait(self._attempt, output)
        if isinstance(output, str):
            return Ending("completed", text=output)
        data = pydantic_core.to_jsonable_python(output)
        return Ending("completed", text=pydantic_core.to_json(output).decode(), data=clean(data))

    def _cancelled(self) -> Ending:
        detail = "The run was cancelled while it was running."
        return Ending("cancelled", "cancelled_by_request", detail, text=self._partial(detail))

    def _failed(self, error: Exception) -> Ending:
        run = self._attempt.run
        verdict = classify(error, run.model)
        if isinstance(verdict, Permanent):
            if verdict.code == "internal_error":
                log.exception("run.failed_inside", exc_info=error)
            return Ending("failed", verdict.code, verdict.detail, text=self._partial(verdict.detail))
        if run.attempt >= run.max_attempts:
            detail = f"{verdict.detail} (tried {run.attempt} times)"
            return Ending("failed", verdict.code, detail, text=self._partial(detail))
        return Ending("queued", verdict.code, verdict.detail, available_in=backoff(run, verdict.retry_after))

    def _partial(self, why: str) -> str | None:
        """What the model had said last in this run, over all its attempts, when it ends before it is done."""
        if self._research is not None:
            return self._research.partial(why)
        own = f"{self._attempt.run.id}:"
        for message in reversed(self._attempt.messages):
            if isinstance(message, ModelResponse) and (message.run_id or "").startswith(own) and message.text:
                return message.text
        return None


def _grants(stored: Mapping[str, Any]) -> Grants:
    return Grants(frozenset(stored.get("send_to", ())), bool(stored.get("label_mail")))


def backoff(run: Run, retry_after: float | None) -> float:
    """Seconds until the next try: exponential with full jitter, never before the provider allows it."""
    ceiling = min(BACKOFF_MOST, BACKOFF_BASE * 2 ** max(run.attempt - 1, 0))
    return max(uniform(0.1, ceiling), retry_after or 0.0)  # noqa: S311  (spreads load, guards nothing)
