"""Example documents of the OpenAI-compatible routes."""

from typing import Any

MODEL: dict[str, Any] = {"id": "assistant", "object": "model", "created": 0, "owned_by": "sixlane"}
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-0199f0c30d4e7a519c632b7e1d5f8a90",
    "object": "chat.completion",
    "created": 1795255200,
    "model": "assistant",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "The capital of France is Paris.",
                "refusal": None,
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 42, "completion_tokens": 9, "total_tokens": 51},
}
COMPLETION_STREAM = 'data: {"object":"chat.completion.chunk", …}\n\ndata: [DONE]\n\n'
