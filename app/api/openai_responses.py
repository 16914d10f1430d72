"""Responses in OpenAI's form: an agent answers, in a conversation that the server keeps."""

from typing import Annotated, Any
from uuid import UUID

import pydantic_core
from fastapi import APIRouter, Path, Query, Response

from app.agents.definition import AgentDefinition
from app.api.deps import CancelRuns, OnceDep, ReadRuns, RuntimeDep, UnitDep, WriteConversations
from app.api.examples_openai import RESPONSE, RESPONSE_STREAM
from app.api.openai_errors import openai_answers
from app.api.openai_input import answers_of, check_instructions, functions_of, items_of, overrides_in
from app.api.openai_models import agent_named
from app.api.protocol_stream import named, protocol_stream
from app.api.response_events import ResponseHead, ResponseWriter
from app.api.route import StrictRoute
from app.models.errors import InvalidInput, NotFound
from app.models.identity import Principal
from app.models.openai import ResponseIn
from app.models.run import Limits, Run
from app.runtime import Runtime
from app.services import chat, history_import, responses, runs
from app.services.chat_completions import Completion
from app.services.events import follow
from app.services.extras import NOTHING, Extras
from app.services.idempotency import Once
from app.services.responses import Begun, Part, part_of

router = APIRouter(route_class=StrictRoute, tags=["openai"])

ResponseId = Annotated[str, Path(max_length=60, examples=["resp_0199f0c30d4e7a519c632b7e1d5f8a90"])]
MAX_NUMBER = 2**31 - 1


@router.post(
    "/v1/responses",
    response_model=None,
    responses=openai_answers(200, RESPONSE, 404, 409, stream=RESPONSE_STREAM),
)
async def create_response(
    body: ResponseIn, runtime: RuntimeDep, principal: WriteConversations, once: OnceDep
) -> Response:
    """Ask the agent that `model` names, or answer what an earlier response asked for.

    The response is a run. With `background` it is returned at once; follow it at `GET /v1/responses/{id}`.
    """
    agent = await agent_named(runtime, principal, body.model)
    begun = await _begin(runtime, principal, body, agent, once)
    headers = {"X-Run-ID": str(begun.run.id), **({"Idempotency-Replayed": "true"} if begun.replayed else {})}
    if body.stream:
        return _streamed(runtime, begun.run, begun.part, -1, headers)
    run = begun.run
    if not body.background:
        run = (await chat.answer(runtime.works.chat, run)).run
    async with runtime.database.begin(principal.workspace_id) as unit:
        document = await _document(unit, run, begun.part)
    return _answered(document, headers)


async def _begin(
    runtime: Runtime, principal: Principal, body: ResponseIn, agent: AgentDefinition, once: Once | None
) -> Begun:
    here = runtime.works.chat
    previous = part_of(body.previous_response_id) if body.previous_response_id else None
    _check(body)
    if previous is not None and (given := answers_of(body.input)):
        return await responses.answer(here, principal, previous, given, once, registry=runtime.registry)
    history = items_of(body.input)
    check_instructions(history, agent)
    wanted = Completion(
        agent=agent.name,
        brought=history_import.read(history),
        stream=bool(body.stream),
        days=runtime.settings.retention.completion_days if body.store is False else None,
        user_id=body.user,
        pattern="delegation" if body.background else "chatbot",
        trigger=responses.TRIGGER,
        claim=not body.background,
        tools=functions_of(body.tools, agent),
        more={"response": _echo(body)},
        extras=_form(body),
        overrides=overrides_in(body, agent),
        limits=Limits(tool_calls=body.max_tool_calls),
    )
    place = _conversation(body)
    return await responses.begin(here, principal, wanted, once, previous=previous, conversation_id=place)


def _form(body: ResponseIn) -> Extras:
    wanted = body.text.format if body.text else None
    return NOTHING if wanted is None or wanted.type == "text" else Extras(output_schema=wanted.schema_)


def _check(body: ResponseIn) -> None:
    """Refuse what contradicts itself."""
    if body.previous_response_id and body.conversation:
        raise _wrong("conversation", "Give `previous_response_id` or `conversation`, not both.")
    if body.store is False and (body.background or body.previous_response_id or body.conversation):
        raise _wrong("store", "What is not stored can neither run in the background nor go on.")
    if body.user and (body.previous_response_id or body.conversation):
        raise _wrong("user", "The conversation has its user already.")


def _wrong(param: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, extra={"param": param})


def _conversation(body: ResponseIn) -> UUID | None:
    if body.conversation is None:
        return None
    name = body.conversation if isinstance(body.conversation, str) else body.conversation.id
    try:
        return UUID(name.removeprefix("conv_"))
    except ValueError:
        raise NotFound("There is no such conversation.", code="conversation_not_found") from None


def _echo(body: ResponseIn) -> dict[str, Any]:
    """What the response document repeats of the request."""
    return {
        "metadata": body.metadata or {},
        "background": bool(body.background),
        "store": body.store is not False,
        "previous_response_id": body.previous_response_id,
        "instructions": body.instructions,
        "max_tool_calls": body.max_tool_calls,
        "tools": [tool.model_dump() for tool in body.tools or ()],
        "text": body.text.model_dump(by_alias=True, exclude_none=True) if body.text else {"format": {"type": "text"}},
        "temperature": body.temperature,
        "top_p": body.top_p,
        "max_output_tokens": body.max_output_tokens,
    }


@router.get(
    "/v1/responses/{response_id}",
    response_model=None,
    responses=openai_answers(200, RESPONSE, 404, stream=RESPONSE_STREAM),
)
async def get_response(
    response_id: ResponseId,
    runtime: RuntimeDep,
    unit: UnitDep,
    principal: ReadRuns,
    stream: bool = False,
    starting_after: Annotated[
        int | None, Query(ge=0, le=MAX_NUMBER, description="Only events with a higher `sequence_number`.")
    ] = None,
) -> Response:
    """Get a response as it is now, or with `stream` follow it: every event from the first, or after a number."""
    part = part_of(response_id)
    run = await _run(unit, principal, part)
    document = await _document(unit, run, part)
    if stream:
        return _streamed(runtime, run, part, -1 if starting_after is None else starting_after, {})
    return _answered(document, {})


@router.post(
    "/v1/responses/{response_id}/cancel", response_model=None, responses=openai_answers(200, RESPONSE, 404, 409)
)
async def cancel_response(response_id: ResponseId, unit: UnitDep, principal: CancelRuns) -> Response:
    """Ask a response to stop; one that has ended is left alone."""
    part = part_of(response_id)
    await _run(unit, principal, part)
    run = await runs.cancel(unit, principal, part.run_id)
    return _answered(await _document(unit, run, part), {})


async def _run(unit: UnitDep, principal: Principal, part: Part) -> Run:
    try:
        run = await runs.get(unit, principal, part.run_id)
    except NotFound:
        raise responses.unknown() from None
    if not run.input.get("response", {"store": True})["store"]:
        raise responses.unknown()
    return run


def _streamed(runtime: Runtime, run: Run, part: Part, after: int, headers: dict[str, str]) -> Response:
    writer = _After(_head(run, part), after)
    frames = follow(runtime.database, runtime.hub, run.workspace_id, run.id)
    return protocol_stream(frames, writer, encode=named, headers=headers)


class _After(ResponseWriter):
    """Tells only what comes after a number."""

    def __init__(self, head: ResponseHead, after: int) -> None:
        super().__init__(head)
        self._after = after

    def feed(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """See `ResponseWriter.feed`."""
        return [one for one in super().feed(event) if one["sequence_number"] > self._after]


async def _document(unit: UnitDep, run: Run, part: Part) -> dict[str, Any]:
    """The response as it is now. Raises NotFound for one that has not begun."""
    writer = ResponseWriter(_head(run, part))
    for event in await responses.events_of(unit, run):
        writer.feed(event)
    if not writer.begun and (part.segment > 1 or run.status not in ("queued", "running")):
        raise responses.unknown()
    if not writer.begun:
        writer.status = "in_progress" if run.status == "running" else "queued"
    return writer.document()


def _answered(document: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(pydantic_core.to_json(document), media_type="application/json", headers=headers)


def _head(run: Run, part: Part) -> ResponseHead:
    """What a run's row says of a response. A run that another door began is a response too."""
    told: dict[str, Any] = run.input.get("response") or {}
    previous = part.previous.id if part.previous else told.get("previous_response_id")
    fields: dict[str, Any] = {
        "model": run.agent,
        "conversation": {"id": f"conv_{run.conversation_id.hex}"},
        "previous_response_id": previous,
        "instructions": told.get("instructions"),
        "metadata": told.get("metadata") or {},
        "max_output_tokens": told.get("max_output_tokens"),
        "max_tool_calls": told.get("max_tool_calls"),
        "parallel_tool_calls": True,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": told.get("store", True),
        "temperature": told.get("temperature") or 1.0,
        "text": told.get("text") or {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": told.get("tools") or [],
        "top_p": told.get("top_p") or 1.0,
        "truncation": "disabled",
    }
    background = bool(told.get("background"))
    return ResponseHead(part.id, run.id.hex, int(run.created_at.timestamp()), part.segment, background, fields)
