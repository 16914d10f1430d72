"""History that a client brings along: who said what, in no vendor's words."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ImportedCall:
    """A tool call of an imported answer; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Imported:
    """One message. `calls` are the assistant's, `call_id` says what a tool's message answers."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    calls: tuple[ImportedCall, ...] = ()
    call_id: str = ""
    failed: bool = False
