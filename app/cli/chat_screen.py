"""How a chat looks in the terminal: a run's events as lines, and its answer as it comes."""

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from app.cli.terminal import printable

_LONGEST = 400
_MARKS = {"ok": "→", "failed": "failed:", "denied": "not allowed:", "unknown": "may have happened:"}
_GOING_ON = frozenset({"run.queued", "run.started", "run.retrying", "tool.call", "tool.result"})


class Screen:
    """Prints what a run tells. Answers go to `answers`; everything else goes to `notes`, which may be another stream.

    `lively` shows that something is under way while nothing is printed.
    """

    def __init__(self, answers: Console, notes: Console, *, lively: bool) -> None:
        self._answers = answers
        self._notes = notes
        self._status: Status | None = notes.status(Text("working", style="dim")) if lively else None
        self._busy = False
        self._mid_line = False
        self._printed = ""
        self._attempt = 0
        self._calls: dict[str, str] = {}

    def begin(self) -> None:
        """A run is about to tell something."""
        self._printed, self._attempt = "", 0
        self._wait()

    def end(self) -> None:
        """Nothing more comes for now."""
        self._rest()
        self._close_line()

    def note(self, text: str, style: str = "dim") -> None:
        """Print a line that is no answer."""
        self._close_line()
        self._notes.print(Text(printable(text), style=style))

    def show(self, event: Mapping[str, Any]) -> None:
        """Print what an event tells; types that are not known tell nothing."""
        tell = getattr(self, f"_on_{event['type'].replace('.', '_')}", None)
        if tell is not None:
            tell(event)
        if event["type"] in _GOING_ON and not self._mid_line:
            self._wait()

    def ask(self, approval: Mapping[str, Any]) -> None:
        """Show what a person is to decide: the exact arguments, and why it is asked."""
        self.note(f"  {approval['tool']} would like to run:", "bold magenta")
        if approval["kind"] == "unknown_outcome":
            self.note("  It was begun, and nobody can know whether it took place.", "magenta")
        arguments = json.dumps(approval["arguments"], ensure_ascii=False, indent=2)
        self.note("\n".join(f"    {line}" for line in arguments.splitlines()), "")
        if approval.get("reason"):
            self.note(f"  {approval['reason']}")
        if approval.get("taint"):
            self.note(f"  The run has read text of other people: {', '.join(approval['taint'])}", "yellow")

    def _on_run_started(self, event: Mapping[str, Any]) -> None:
        if self._attempt and event["attempt"] > self._attempt and self._printed:
            self.note("(begun again)")
            self._printed = ""
        self._attempt = event["attempt"]

    def _on_run_queued(self, event: Mapping[str, Any]) -> None:
        kinds = [str(one["type"]) for one in event.get("waiting_on") or () if one["type"] != "slot"]
        if kinds:
            self.note(f"  waits for: {', '.join(kinds)}")

    def _on_run_retrying(self, event: Mapping[str, Any]) -> None:
        self.note(f"  tries again: {event.get('detail') or event['reason']}", "yellow")

    def _on_run_snapshot(self, event: Mapping[str, Any]) -> None:
        self.note("(some of the stream was lost; this is the text so far)")
        self._printed = ""
        self._write(event["text"])

    def _on_message_delta(self, event: Mapping[str, Any]) -> None:
        self._write(event["text"])

    def _on_message_completed(self, event: Mapping[str, Any]) -> None:
        if event["text"] and not self._printed.endswith(event["text"]):
            self._close_line()
            self._write(event["text"])
        self._close_line()
        self._printed = ""

    def _on_tool_call(self, event: Mapping[str, Any]) -> None:
        call = f"  {event['tool']} {_short(json.dumps(event['arguments'], ensure_ascii=False))}"
        self._calls[event["tool_call_id"]] = call

    def _on_tool_result(self, event: Mapping[str, Any]) -> None:
        call = self._calls.pop(event["tool_call_id"], f"  {event['tool']}")
        mark = _MARKS.get(event["status"], event["status"])
        style = "yellow" if event["status"] != "ok" else "dim"
        self.note(f"{call} {mark} {_short(event.get('summary') or event['status'])}", style)

    def _on_plan_updated(self, event: Mapping[str, Any]) -> None:
        for step in event["steps"]:
            self.note(f"  plan: {_short(json.dumps(step, ensure_ascii=False))}")

    def _on_context_patch(self, event: Mapping[str, Any]) -> None:
        self.note(f"  context: {_short(json.dumps(event.get('patch') or event.get('operations'), ensure_ascii=False))}")

    def _on_approval_decided(self, event: Mapping[str, Any]) -> None:
        self.note(f"  decided: {event.get('decision') or event['status']}")

    def _on_run_completed(self, event: Mapping[str, Any]) -> None:
        result: dict[str, Any] = event.get("result") or {}
        data = result.get("data")
        if data is not None:
            self._write(json.dumps(data, ensure_ascii=False, indent=2))
        self._close_line()

    def _on_run_failed(self, event: Mapping[str, Any]) -> None:
        self.note(f"The run failed: {event.get('detail') or event.get('status_reason')}", "red")

    def _on_run_cancelled(self, event: Mapping[str, Any]) -> None:
        self.note("The run was cancelled.", "yellow")

    def _write(self, text: str) -> None:
        self._rest()
        self._answers.print(Text(printable(text)), end="")
        self._answers.file.flush()
        self._printed += text
        self._mid_line = not text.endswith("\n") if text else self._mid_line

    def _close_line(self) -> None:
        if self._mid_line:
            self._answers.print()
            self._mid_line = False

    def _wait(self) -> None:
        if self._status is not None and not self._busy:
            self._status.start()
            self._busy = True

    def _rest(self) -> None:
        if self._status is not None and self._busy:
            self._status.stop()
            self._busy = False


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"
