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
RESPONSE: dict[str, Any] = {
    "id": "resp_0199f0c30d4e7a519c632b7e1d5f8a90",
    "object": "response",
    "created_at": 1795255200,
    "status": "completed",
    "background": False,
    "error": None,
    "incomplete_details": None,
    "model": "assistant",
    "conversation": {"id": "conv_0199f0c2a1b27d6c8f2b6d0f4f1f0a11"},
    "previous_response_id": None,
    "output": [
        {
            "id": "msg_0199f0c30d4e7a519c632b7e1d5f8a90_1_0",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "The capital of France is Paris.", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 42, "output_tokens": 9, "total_tokens": 51},
}
RESPONSE_STREAM = 'event: response.created\ndata: {"type":"response.created","sequence_number":0, …}\n\n'
