"""The composition root: the only place that knows which parts a process is made of."""

from app.runtime.opening import open_runtime, set_up_logging, wind_down, winding_down_on_signals
from app.runtime.parts import Role, Runtime, Tasks, Workshop

__all__ = [
    "Role",
    "Runtime",
    "Tasks",
    "Workshop",
    "open_runtime",
    "set_up_logging",
    "wind_down",
    "winding_down_on_signals",
]
