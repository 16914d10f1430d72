"""A program of its own: reads one PDF or Docx from its input and writes its text, as JSON, under hard limits.

Such files come from anyone, and the parsers are C code: here they have no environment, no secrets, a bounded memory and
a bounded time, and a crash costs one document.
"""

import json
import sys
from typing import Any

from app.integrations.reading.unreadable import UnreadableError

MEMORY = 1 << 30
CPU_SECONDS = 20


def main() -> None:
    """Arguments: `pdf` or `docx`, most pages, most characters; the file comes in, JSON goes out."""
    kind, pages, characters = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _bound()
    data = sys.stdin.buffer.read()
    try:
        answer = _read(kind, data, pages, characters)
    except UnreadableError as error:
        answer = {"error": error.code, "detail": error.detail}
    except MemoryError:
        answer = {"error": "document_too_complex", "detail": "Reading the document takes more memory than is allowed."}
    except Exception as error:
        answer = {"error": "document_damaged", "detail": f"The {kind} file cannot be read ({type(error).__name__})."}
    sys.stdout.buffer.write(json.dumps(answer).encode())


def _read(kind: str, data: bytes, pages: int, characters: int) -> dict[str, Any]:
    if kind == "pdf":
        from app.integrations.reading import pdf

        return pdf.read(data, pages, characters)
    from app.integrations.reading import word

    return word.read(data, characters)


def _bound() -> None:
    try:
        import resource
    except ImportError:  # not there on Windows; the caller's deadline remains
        return
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
