"""Chat completions in OpenAI's form: the client holds the history, an agent answers."""

from typing import Any

import pydantic_core
from fastapi import APIRouter, Response

from app.api.completion_chunks import (
    CompletionHead,
    CompletionWriter,
    approval_text,
    completion,
    tool_call,
)
from app.api.deps import OnceDep, RuntimeDep, WriteConversations
from app.api.examples_openai import COMPLETION, COMPLETION_STREAM
from app.api.openai_errors import openai_answers
from app.api.openai_input import check_instructions, functions_of, history_of, overrides_in
from app.api.openai_models import agent_named
from app.api.protocol_stream import DONE, protocol_stream
from app.api.route import StrictRoute
from app.models.errors import Conflict, RunBroke, TookTooLong
from app.models.openai import CompletionIn
from app.models.run import Run
from app.runtime import Runtime
from app.services import chat, chat_completions, history_import
from app.services.chat import Turn
from app.services.chat_completions import Completion
from app.services.events import follow
from app.services.extras import NOTHING, Extras

router = APIRouter(route_class=StrictRoute, tags=["openai"])


@router.post(
    "/v1/chat/completions",
    response_model=None,
    responses=openai_answers(200, COMPLETION, 404, 409, 502, 504, stream=COMPLETION_STREAM),
)
async def create_completion(
    body: CompletionIn, runtime: RuntimeDep, principal: WriteConversations, once: OnceDep
) -> Response:
    """Answer a chat as the agent that `model` names. Each request is a run, and safe to repeat with `Idempotency-Key`.

    Functions of the client end the answer with `tool_calls`; send their results with the next request.
    """
    agent = await agent_named(runtime, principal, body.model)
    history = history_of(body.messages)
    check_instructions(history, agent)
    wanted = Completion(
        agent=agent.name,
        brought=history_import.read(history),
        stream=bool(body.stream),
        days=runtime.settings.retention.completion_days,
        user_id=body.user,
        tools=functions_of(body.tools, agent),
        extras=_form(body),
        overrides=overrides_in(body, agent),
        more={"metadata": body.metadata} if body.metadata else {},
    )
    run, replayed = await chat_completions.begin(runtime.works.chat, principal, wanted, once)
    headers = {"X-Run-ID": str(run.id), **({"Idempotency-Replayed": "true"} if replayed else {})}
    if wanted.stream:
        return _streamed(runtime, run, body, headers)
    return await _whole(runtime, run, headers)


def _form(body: CompletionIn) -> Extras:
    wanted = body.response_format
    return NOTHING if wanted is None or wanted.type == "text" else Extras(output_schema=wanted.json_schema.schema_)


def _streamed(runtime: Runtime, run: Run, body: CompletionIn, headers: dict[str, str]) -> Response:
    writer = CompletionWriter(CompletionHead.of(run), run.id)
    here = runtime.works.chat

    async def closing() -> list[dict[str, Any]]:
        turn = await chat.look(here, run)
        await chat_completions.functions_asked(here, turn)
        wants_usage = body.stream_options is not None and body.stream_options.include_usage
        return [writer.usage(turn.run.usage)] if wants_usage and not writer.failed else []

    frames = follow(runtime.database, runtime.hub, run.workspace_id, run.id)
    return protocol_stream(frames, writer, closing=closing, last=DONE, headers=headers)


async def _whole(runtime: Runtime, run: Run, headers: dict[str, str]) -> Response:
    here = runtime.works.chat
    turn = await chat.answer(here, run)
    asked = await chat_completions.functions_asked(here, turn)
    if not asked:
        _check(turn)
    calls = [tool_call(call.tool_call_id, call.tool, call.arguments) for call in asked]
    document = completion(CompletionHead.of(run), turn.run, turn.result, calls)
    return Response(pydantic_core.to_json(document), media_type="application/json", headers=headers)


def _check(turn: Turn) -> None:
    """Raise what stands in the way of an answer."""
    run = turn.run
    extra = {"run_id": str(run.id)}
    if turn.approvals:
        ids = [str(approval.id) for approval in turn.approvals]
        raise Conflict(approval_text(run.id, ids), code="approval_required", extra={**extra, "approval_ids": ids})
    if run.status in ("queued", "running"):
        raise TookTooLong(f"The answer is not there yet; it will be at GET /runs/{run.id}.", extra=extra)
    if run.status == "cancelled":
        raise Conflict(run.status_detail or "The run was cancelled.", code="run_cancelled", extra=extra)
    if run.status == "failed" and not (run.status_reason or "").startswith("limit_"):
        raise RunBroke(run.status_detail or "The run failed.", code=run.status_reason, extra=extra)
