"""Log lines: one form per process, the request's id on each, and no secret in any."""

import json
import logging

import pytest
import structlog

from app.integrations.logs import configure_logging

SECRET = "marked-secret-4711"
KEY = "sl_" + "a" * 26 + "_" + "b" * 52 + "_0123abcd"


@pytest.fixture(autouse=True)
def _restored() -> object:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_secret_is_in_no_line(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", form, hide=[SECRET, "short"])  # type: ignore[arg-type]
    log = structlog.get_logger("sixlane.test")
    log.info("plain", note=f"it is {SECRET}", password="x1y2", api_key="x1y2", Authorization="x1y2")
    log.info("key", note=f"Bearer {KEY}", url="postgresql://sixlane:x1y2@host/db")
    try:
        raise ValueError(f"{SECRET} in an error")
    except ValueError:
        log.exception("broke")
    logging.getLogger("library").warning("a library says %s", SECRET)
    text = capsys.readouterr().err

    for secret in (SECRET, "x1y2", "b" * 52):
        assert secret not in text
    assert text.count("[hidden]") >= 7
    assert "broke" in text
    assert "a library says" in text


def test_json_lines_carry_the_context(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    structlog.contextvars.bind_contextvars(request_id="r1", run_id="run1")
    structlog.get_logger("x").info("ours", number=1)
    logging.getLogger("library").error("theirs")
    structlog.get_logger("x").debug("too quiet")
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["number"], ours["request_id"], ours["level"]) == ("ours", 1, "r1", "info")
    assert (theirs["event"], theirs["run_id"], theirs["logger"]) == ("theirs", "run1", "library")
    assert ours["timestamp"].endswith("Z")


def test_libraries_that_talk_too_much_are_heard_from_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    logging.getLogger("httpx").info("GET https://provider.example/?key=1")
    logging.getLogger("uvicorn.access").info("GET /")
    assert capsys.readouterr().err == ""
