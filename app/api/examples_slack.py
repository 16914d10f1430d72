"""Example documents of Slack's doors."""

from typing import Any

CHALLENGE: dict[str, Any] = {"challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}
REPLY: dict[str, Any] = {"response_type": "ephemeral", "text": "Hello!", "blocks": []}
EVENT: dict[str, Any] = {
    "type": "event_callback",
    "team_id": "T0123456789",
    "api_app_id": "A0123456789",
    "event_id": "Ev0123456789",
    "event": {
        "type": "message",
        "channel_type": "im",
        "channel": "D0123456789",
        "user": "U0123456789",
        "ts": "1795251600.000100",
        "text": "hello",
    },
}
COMMAND_FORM = "team_id=T0123456789&api_app_id=A0123456789&user_id=U0123456789&command=%2Fsixlane&text=status"
INTERACTION_FORM = "payload=%7B%22type%22%3A%22block_actions%22%7D"


def body_of(media_type: str, example: Any) -> dict[str, Any]:
    """How OpenAPI shows a body that is read as raw bytes, since those are what is signed."""
    return {"requestBody": {"content": {media_type: {"schema": {}, "example": example}}}}
