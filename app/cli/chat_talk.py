"""The talk of an interactive chat: lines that are typed, commands that begin with a slash, and decisions in place."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from app.cli.chat_lines import Lines
from app.cli.chat_turns import Turns, Watched
from app.integrations.platform_client import Refused, ServerError

Result = TypeVar("Result")

HELP = """\
  /new      begin a new conversation          /history  show this conversation
  /cancel   stop the run that is under way    /quit     leave (as does Ctrl-D)
  Ctrl-C stops a run that is under way, and never the chat. A line that ends with \\ goes on in the next one;
  three quotation marks begin and end a text of many lines. A space before a slash makes it a message."""

_LETTERS: Mapping[str, Mapping[str, str]] = {
    "tool_call": {"y": "approve", "n": "deny", "e": "edit"},
    "unknown_outcome": {"h": "happened", "r": "repeat", "s": "skip"},
}
_QUESTIONS = {
    "tool_call": "  Allow it?  [y]es  [n]o  [e]dit  [l]ater: ",
    "unknown_outcome": "  What became of it?  it [h]appened  [r]epeat it  [s]kip it  [l]ater: ",
}
_LATER = "l"
_MOST_HISTORY = 40


class Talk:
    """A chat with a person at the keyboard."""

    def __init__(self, runner: asyncio.Runner, turns: Turns, lines: Lines) -> None:
        self._runner = runner
        self._turns = turns
        self._lines = lines
        self._screen = turns.screen
        self._commands: dict[str, Callable[[], None]] = {
            "/help": lambda: self._screen.note(HELP, ""),
            "/new": self._new,
            "/history": self._history,
            "/cancel": self._cancel,
        }

    def run(self) -> None:
        """Talk until the person leaves."""
        here = self._turns.conversation
        self._screen.note(f"{here['agent']} at {self._turns.client.url}  ·  /help tells what you can do", "bold")
        self._guarded(self._catch_up)
        while (text := self._lines.message()) is not None:
            word = text.strip()
            if word == "/quit":
                break
            if text.startswith("/"):
                self._guarded(self._commands.get(word) or self._unknown)
            elif word:
                self._guarded(lambda text=word: self._say(text))
            self._screen.note("", "")
        self._screen.note(f"Go on with: sixlane chat --conversation {self._turns.conversation['id']}")

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except ServerError as error:
            self._screen.note(str(error), "red")
        except KeyboardInterrupt:
            self._screen.note("stopped")

    def _do(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(work)

    # What is said

    def _say(self, text: str) -> None:
        try:
            watched = self._do(self._turns.say(text))
        except Refused as error:
            if error.status != 409:
                raise
            self._screen.note(f"Not sent: {error.body.get('detail', error)}", "yellow")
            self._catch_up()
            return
        self._see_through(watched)

    def _catch_up(self) -> None:
        """Watch the run that holds the conversation, if one does."""
        run_id = self._do(self._turns.active_run())
        if run_id is not None:
            self._screen.note("A run is under way here:")
            self._see_through(self._do(self._turns.go_on(Watched(run_id))))

    def _see_through(self, watched: Watched) -> None:
        """Settle what the run waits for and watch it further, until it ends or the person wants to do so later."""
        while watched.waits:
            if not self._settled(watched):
                self._screen.note("It waits; whatever you say next asks again.")
                return
            watched = self._do(self._turns.go_on(watched))
        if not watched.ended:
            self._screen.note(f"The run goes on without you: {self._turns.client.url}/runs/{watched.run_id}")

    # What is decided

    def _settled(self, watched: Watched) -> bool:
        """Have the person settle everything that the run waits for; False when something is left for later."""
        assert watched.run_id is not None
        try:
            for approval in self._do(self._turns.owed(watched.run_id)):
                self._screen.ask(approval)
                if not self._decided(approval):
                    return False
            for call in self._do(self._turns.calls(watched.run_id)):
                if not self._answered(watched.run_id, call):
                    return False
        except KeyboardInterrupt:
            self._do(self._turns.cancel(watched.run_id))
        return True

    def _decided(self, approval: Mapping[str, Any]) -> bool:
        letters = _LETTERS[approval["kind"]]
        while True:
            letter = (self._lines.line(_QUESTIONS[approval["kind"]]) or _LATER).strip().lower()[:1]
            if letter == _LATER:
                return False
            body: dict[str, Any] = {"decision": letters.get(letter)}
            if letter == "e" and body["decision"] == "edit":
                arguments = self._edited(approval["arguments"])
                if arguments is None:
                    continue
                body["arguments"] = arguments
            if body["decision"] is None:
                continue
            try:
                self._do(self._turns.decide(approval["id"], body))
            except Refused as error:
                self._screen.note(str(error), "yellow")
                if error.status != 409:
                    continue
            return True

    def _edited(self, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        text = self._lines.line("  arguments: ", filled=json.dumps(arguments, ensure_ascii=False))
        with contextlib.suppress(ValueError):
            changed = json.loads(text or "")
            if isinstance(changed, dict):
                return changed  # pyright: ignore[reportUnknownVariableType]
        self._screen.note("These are no arguments: a JSON object is needed.", "yellow")
        return None

    def _answered(self, run_id: str, call: Mapping[str, Any]) -> bool:
        """Have the person stand in for the application whose tool is called."""
        self._screen.note(f"  The application is asked for {call['tool']}:", "bold magenta")
        self._screen.note(f"    {json.dumps(call.get('arguments'), ensure_ascii=False)}", "")
        text = self._lines.line("  Its answer, as JSON or text (empty: later): ")
        if not text:
            return False
        content: Any = text
        with contextlib.suppress(ValueError):
            content = json.loads(text)
        self._do(self._turns.answer(run_id, call["tool_call_id"], content))
        return True

    # Commands

    def _unknown(self) -> None:
        self._screen.note("There is no such command; /help tells which there are.", "yellow")

    def _new(self) -> None:
        self._do(self._turns.begin_anew())
        self._screen.note("A new conversation.")

    def _cancel(self) -> None:
        run_id = self._do(self._turns.active_run())
        if run_id is None:
            self._screen.note("Nothing is under way.")
            return
        self._do(self._turns.cancel(run_id))
        watched = self._do(self._turns.end_of(run_id))
        self._screen.note(f"The run is {watched}.")

    def _history(self) -> None:
        for item in self._do(self._turns.history())[-_MOST_HISTORY:]:
            pending = "  (waits for its turn)" if item["status"] == "pending" else ""
            if item["content"]:
                who, style = ("you", "cyan") if item["role"] == "user" else ("agent", "green")
                self._screen.note(f"{who}> {item['content']}{pending}", style)
