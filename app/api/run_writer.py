"""What every protocol in which a run is told has in common: one open text at a time, and calls that are told once."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
Part = dict[str, Any]
"""A piece of the protocol: a chunk, an event."""


@dataclass(kw_only=True)
class RunWriter(ABC):
    """Feed it every event of a run; it gives what those after `after` become. Ids follow from the events alone."""

    after: int = 0
    ended: bool = False
    _begun: bool = False
    _open: str = ""
    _said: str = ""
    _attempt: int = 0
    _spoke: bool = False
    _client: list[str] = field(default_factory=list[str])
    _announced: set[str] = field(default_factory=set[str])
    _settled: set[str] = field(default_factory=set[str])

    def feed(self, event: Event) -> list[Part]:
        """What an event becomes."""
        if self.ended:
            return []
        told: list[Part] = []
        if self._open and event["attempt"] != self._attempt:
            told += self._close(void=True)
        handler = getattr(self, "_on_" + event["type"].replace(".", "_"), None)
        if handler is not None:
            told += handler(event)
        if event["seq"] <= self.after:
            self.ended = False
            return []
        if self._begun:
            return told
        self._begun = True
        return [*self._begin(), *told]

    # What differs

    @abstractmethod
    def _begin(self) -> list[Part]:
        """What stands before everything else."""

    @abstractmethod
    def _text_begins(self, seq: int) -> tuple[str, list[Part]]:
        """The id of a text that begins with the event of this number, and what tells of it."""

    @abstractmethod
    def _text_goes_on(self, text: str) -> Part:
        """More of the open text."""

    @abstractmethod
    def _text_ends(self, text_id: str, *, void: bool) -> list[Part]:
        """The end of a text; one that is void does not count."""

    # Text

    def _on_message_delta(self, event: Event) -> list[Part]:
        self._attempt = event["attempt"]
        return self._text(event["text"], event["seq"])

    def _on_message_completed(self, event: Event) -> list[Part]:
        whole: str = event["text"]
        self._attempt = event["attempt"]
        told: list[Part] = []
        if self._open and not whole.startswith(self._said):
            told = self._close(void=True)
        said = self._said if self._open else ""
        return [*told, *self._text(whole[len(said) :], event["seq"]), *self._close()]

    def _on_run_snapshot(self, event: Event) -> list[Part]:
        told = self._close(void=True)
        self._attempt = event["attempt"]
        return [*told, *self._text(event["text"], event["seq"])]

    def _text(self, text: str, seq: int) -> list[Part]:
        if not text:
            return []
        told: list[Part] = []
        if not self._open:
            self._open, told = self._text_begins(seq)
            self._said = ""
        self._said += text
        self._spoke = True
        return [*told, self._text_goes_on(text)]

    def _close(self, *, void: bool = False) -> list[Part]:
        if not self._open:
            return []
        text_id, self._open = self._open, ""
        return self._text_ends(text_id, void=void)

    def _answer(self, event: Event) -> list[Part]:
        """The text of the result, for a run that has said nothing on its way."""
        result: dict[str, Any] = event.get("result") or {}
        return self._text("" if self._spoke else result.get("text") or "", event["seq"])

    # Tools

    def _settles(self, event: Event) -> bool:
        """Whether the result of a call is to be told now. What a client has answered it knows better than a summary."""
        call_id = str(event["tool_call_id"])
        if call_id in self._settled or call_id not in self._announced or (call_id in self._client and self.after):
            return False
        self._settled.add(call_id)
        return True
