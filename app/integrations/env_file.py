"""Writing a variable into a .env file without touching the rest of it."""

import os
import re
from pathlib import Path


def add_variable(path: Path, name: str, value: str) -> None:
    """Set the variable in the file, made with mode 0600 if it is missing; the other lines stay as they are.

    A line that sets the variable to nothing is replaced; the file is replaced whole, so that no crash halves it.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    line = f"{name}={value}"
    empty = re.compile(rf"^{name}=\s*$", re.MULTILINE)
    if empty.search(text):
        text = empty.sub(lambda _: line, text, count=1)
    else:
        text += ("" if not text or text.endswith("\n") else "\n") + line + "\n"
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
