"""Examples of the streams of other protocols."""

from typing import Any

from app.api.problems import errors

VERCEL_STREAM = (
    'data: {"type":"start","messageId":"0199f0c3-0d4e-7a51-9c63-2b7e1d5f8a90"}\n\n'
    'data: {"type":"text-delta","id":"text-3","delta":"The capital"}\n\ndata: [DONE]\n\n'
)
AG_UI_STREAM = (
    'data: {"type":"RUN_STARTED","threadId":"t1","runId":"r1"}\n\n'
    'data: {"type":"TEXT_MESSAGE_CONTENT","messageId":"m1","delta":"The capital"}\n\n'
)


def stream_of(example: str, *failures: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that answers with a stream."""
    content = {"text/event-stream": {"schema": {"type": "string"}, "example": example}}
    return {**errors(*failures), 200: {"description": "OK", "content": content}}
