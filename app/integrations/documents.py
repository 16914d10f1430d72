"""PDF and Docx: read by a program of its own, one process for each document."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Literal

from app.models.document import DOCX, PDF, Document, UnreadableDocument

MOST_PAGES = 2_000
MOST_CHARACTERS = 2_000_000
SECONDS = 30.0
AT_ONCE = 2

_ROOT = Path(__file__).parents[2]
_READER = "import sys; sys.path.append(sys.argv.pop(1)); from app.integrations.reading.program import main; main()"
"""Isolated (-I), so that neither the environment nor the current folder can add to what it imports."""
_KINDS: dict[str, Literal["pdf", "docx"]] = {PDF: "pdf", DOCX: "docx"}


class DocumentReader:
    """Reads PDF and Docx files; at most two at a time in this process, each within a deadline."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._room = asyncio.Semaphore(AT_ONCE)

    async def read(self, data: bytes, media_type: str) -> Document:
        """The text of the file, up to 2,000 pages and 2,000,000 characters. Raises UnreadableDocument."""
        async with self._room:
            answer = await self._ask(data, _KINDS[media_type])
        if "error" in answer:
            raise UnreadableDocument(answer["detail"], code=answer["error"])
        return Document(media_type, tuple(answer["pages"]), answer["total"], answer["cut"], answer["title"][:200])

    async def _ask(self, data: bytes, kind: str) -> dict[str, Any]:
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            "-IB",
            "-c",
            _READER,
            str(_ROOT),
            kind,
            str(MOST_PAGES),
            str(MOST_CHARACTERS),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ},
        )
        try:
            async with asyncio.timeout(self._seconds):
                out, _ = await program.communicate(data)
        except TimeoutError:
            raise UnreadableDocument(
                f"Reading the document takes longer than {self._seconds:.0f} seconds.", code="document_too_complex"
            ) from None
        finally:
            if program.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    program.kill()
                await program.wait()
        try:
            return json.loads(out)
        except ValueError:
            raise UnreadableDocument(f"The {kind} file cannot be read: it made its reader stop.") from None
