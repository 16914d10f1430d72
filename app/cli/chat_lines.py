"""Lines that a person types: with history and editing where the terminal can, and messages of many lines."""

import importlib
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

readline: Any = importlib.import_module("readline") if find_spec("readline") else None
"""Its import gives `input` history and editing; a Python without it still reads lines."""

BLOCK = '"""'


class Lines:
    """Reads from the terminal. `hint` is called when Ctrl-C was pressed and there was nothing to stop."""

    def __init__(self, hint: Callable[[], None]) -> None:
        self._hint = hint
        self._prompt = _coloured("you> ")

    def message(self) -> str | None:
        """The next message, of one line or many; None when there are no more."""
        while True:
            try:
                return self._message()
            except KeyboardInterrupt:
                self._hint()
            except EOFError:
                return None

    def line(self, prompt: str, *, filled: str = "") -> str | None:
        """One line, beginning with `filled` for the person to change; None at the end of the input."""
        if filled:
            _fill(filled)
        try:
            return input(prompt)
        except EOFError:
            return None
        finally:
            _fill(None)

    def _message(self) -> str:
        text = input(self._prompt)
        if text.strip().startswith(BLOCK):
            return self._block(text.strip().removeprefix(BLOCK))
        while text.endswith("\\"):
            text = f"{text[:-1]}\n{input('...> ')}"
        return text

    def _block(self, text: str) -> str:
        while not text.rstrip().endswith(BLOCK):
            text = f"{text}\n{input('...> ')}" if text else input("...> ")
        return text.rstrip().removesuffix(BLOCK).strip("\n")


def _fill(text: str | None) -> None:
    if readline is not None:
        readline.set_startup_hook(None if text is None else lambda: readline.insert_text(text))


def _coloured(prompt: str) -> str:
    """The prompt in colour, with what makes it so marked as having no width."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return prompt
    return f"\001\033[1;36m\002{prompt}\001\033[0m\002"
