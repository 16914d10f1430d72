"""The floor: FastAPI and Pydantic AI with nothing stored, no key, no events. Nobody can serve an agent for less.

It runs the agent that Sixlane runs: same model server, instructions, tools and history, and the stock client.
With `FLOOR_TOOLS=0` it has neither instructions nor tools.
"""

import base64
import hmac
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models import create_async_httpx2_client
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.toolsets import FunctionToolset

from app.agents.built_in import BUILT_IN
from app.agents.patterns import PATTERNS
from app.agents.tools import TOOLS
from benchmarks.dialogue import HOOK_SECRET, history


class ChatIn(BaseModel):
    """One turn after `history` messages that the server has in memory."""

    message: str
    history: int = 0


class ChatOut(BaseModel):
    """The answer."""

    content: str
    input_tokens: int
    output_tokens: int


def _agent() -> Agent[Any, str]:
    http = create_async_httpx2_client()
    client = AsyncOpenAI(api_key="none", base_url=os.environ["OPENAI_BASE_URL"], http_client=http)
    model = OpenAIChatModel("bench", provider=OpenAIProvider(openai_client=client))
    if os.environ.get("FLOOR_TOOLS") == "0":
        return Agent(model)
    texts = [BUILT_IN[0].instructions, next(one.instructions for one in PATTERNS if one.name == "chatbot")]
    return Agent(model, instructions=texts, toolsets=[FunctionToolset(_tools())])


def _tools() -> list[Any]:
    """The tools that Sixlane offers in a conversation without targets, unconditionally."""
    tools = [spec.tool for spec in TOOLS if spec.tool.prepare is None or spec.tool.name in _OFFERED]
    return [replace(tool, prepare=None) for tool in tools]


_OFFERED = ("propose_task",)
"""What is offered on a condition that holds in a conversation."""
_HOOK_KEY = base64.b64decode(HOOK_SECRET.removeprefix("whsec_"))

app = FastAPI()
agent = _agent()
log = history(3000)


@app.post("/chat")
async def chat(body: ChatIn) -> ChatOut:
    """Answer as JSON."""
    result = await agent.run(body.message, message_history=log[: body.history] or None)
    used = result.usage
    return ChatOut(content=result.output, input_tokens=used.input_tokens, output_tokens=used.output_tokens)


@app.post("/stream")
async def stream(body: ChatIn) -> StreamingResponse:
    """Answer as server-sent events, one for each token."""

    async def tokens() -> AsyncIterator[str]:
        async with agent.run_stream(body.message) as result:
            async for text in result.stream_text(delta=True, debounce_by=None):
                yield f"event: token\ndata: {text}\n\n"

    return StreamingResponse(tokens(), media_type="text/event-stream")


@app.post("/webhook")
async def webhook(request: Request) -> Response:
    """Verify a signature of Standard Webhooks, and nothing more."""
    sent, body = request.headers, await request.body()
    signed = f"{sent['webhook-id']}.{sent['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(_HOOK_KEY, signed, "sha256")).decode()
    good = hmac.compare_digest(expected, sent["webhook-signature"])
    return Response(b'{"accepted":true}', 200 if good else 401, media_type="application/json")
