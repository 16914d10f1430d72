"""What the server tells of itself."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from app.models.wire import Outbound


class LiveOut(Outbound):
    """The process answers."""

    status: Literal["ok"]


class ReadyOut(Outbound):
    """The process can do its work. `degraded` names parts that are away and only cost time."""

    status: Literal["ready"]
    degraded: list[str] = Field(examples=[[]])


class ModelOut(Outbound):
    """The model of runs that name none, and the variable that chose it."""

    name: str = Field(examples=["demo"])
    because: str = Field(examples=["no model is configured"])


class ProcessOut(Outbound):
    """One process of the fleet. `load` is what it is doing, as it reported last."""

    id: str
    role: str = Field(examples=["worker"])
    version: str
    host: str
    pid: int
    load: dict[str, Any]
    started_at: datetime
    heartbeat_at: datetime


class InfoOut(Outbound):
    """Version, model, limits, what can be asked for, and the processes of the fleet."""

    version: str = Field(examples=["0.1.0"])
    mode: Literal["local", "production"]
    model: ModelOut
    limits: dict[str, Any]
    patterns: list[str]
    tools: list[str]
    events: list[str]
    processes: list[ProcessOut]
