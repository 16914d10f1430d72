"""Logging: one structlog pipeline for us and for every library, JSON lines in production, readable ones on a desk."""

import logging
import re
import sys
from collections.abc import Sequence
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Format = Literal["json", "console"]

SECRET_WORDS = ("authorization", "password", "secret", "api_key", "apikey", "cookie", "pepper")
_CLIENTS = ("httpx", "httpx2", "httpcore", "httpcore2", "openai", "anthropic")
_QUIET = (*_CLIENTS, "asyncio", "apscheduler", "arq", "uvicorn.error")
_IN_TEXT = re.compile(r"(?P<key>sl_[a-z2-7]{26}_)[a-z2-7]+_[0-9a-f]{8}|(?P<url>://[^/\s:@]*:)[^/\s@]+(?=@)")


class HideSecrets:
    """Removes secrets from a line: by the name of a field, by their look, and literally the ones that we were told."""

    def __init__(self, literals: Sequence[str]) -> None:
        known = sorted({re.escape(text) for text in literals if len(text) >= 8}, key=len, reverse=True)
        self._known = re.compile("|".join(known)) if known else None

    def fields(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Blank the fields whose name says that they hold a secret."""
        for name in event:
            lowered = name.lower()
            if any(word in lowered for word in SECRET_WORDS):
                event[name] = "[hidden]"
        return event

    def line(self, _logger: WrappedLogger, _method: str, rendered: Any) -> Any:
        """Blank what is a secret wherever it stands in the rendered line."""
        if not isinstance(rendered, str):
            return rendered
        if self._known is not None:
            rendered = self._known.sub("[hidden]", rendered)
        if "sl_" in rendered or "://" in rendered:
            rendered = _IN_TEXT.sub(lambda found: f"{found['key'] or found['url']}[hidden]", rendered)
        return rendered


def _before(hide: HideSecrets) -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide.fields,
        structlog.processors.StackInfoRenderer(),
    ]


def _render(form: Format, hide: HideSecrets) -> list[Processor]:
    if form == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(), hide.line]
    # Locals in a traceback would print what a line must not: the plain formatter has none.
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [console, hide.line]


def configure_logging(level: str = "info", form: Format = "console", *, hide: Sequence[str] = ()) -> None:
    """Send every log line of this process to stderr as `form`. `hide` are secrets that must never be printed."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    secrets = HideSecrets(hide)
    before, render = _before(secrets), _render(form, secrets)
    structlog.configure(
        processors=[*before, *render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *before],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = name != "uvicorn.access"  # one line a request: ours
