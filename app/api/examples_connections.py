"""Example documents of connections. A test reads each with the model that it stands for."""

from typing import Any

from app.api.examples import AT, ID

CONNECT: dict[str, Any] = {
    "authorize_url": "http://localhost:8000/connections/google/start?ticket=Zk3xW…",
    "expires_at": AT,
}
CONNECTION: dict[str, Any] = {
    "id": ID,
    "provider": "google",
    "user_id": "owner",
    "account": "user@example.com",
    "status": "active",
    "status_reason": None,
    "scopes": ["read", "draft", "send"],
    "created_at": AT,
    "updated_at": AT,
}
REVOKED: dict[str, Any] = {**CONNECTION, "status": "revoked", "scopes": []}
GOOGLE_STATUS: dict[str, Any] = {"configured": True, "connected": True, "connection": CONNECTION}
