"""The sample file is held against the settings: nothing missing, nothing invented, and it changes nothing."""

import re
from pathlib import Path

from app.config import Settings, load_settings, variables

EXAMPLE = Path(__file__).parents[2] / ".env.example"
LINE = re.compile(r"^# ([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)


def test_lists_every_variable_once() -> None:
    names = [name for name, _ in LINE.findall(EXAMPLE.read_text())]
    assert len(names) == len(set(names))
    assert set(names) == set(variables())


def test_has_no_line_that_sets_something() -> None:
    assert [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")] == []


def test_copying_it_changes_nothing() -> None:
    assert load_settings(environ={}, files=[EXAMPLE]) == load_settings(environ={}, files=[])


def test_shows_the_defaults(tmp_path: Path) -> None:
    everything = tmp_path / ".env"
    everything.write_text(LINE.sub(r"\1=\2", EXAMPLE.read_text()))
    uncommented = load_settings(environ={}, files=[everything]).model_copy(update={"warnings": ()})
    assert uncommented == load_settings(environ={}, files=[])
    shown = dict(LINE.findall(EXAMPLE.read_text()))
    settings = load_settings(environ={}, files=[])
    for variable, (group, field) in variables().items():
        default = getattr(getattr(settings, group) if group else settings, field)
        assert bool(shown[variable]) == (default not in (None, ()) and variable != "SIXLANE_DATA"), variable


def test_stray_variables_do_not_reach_the_groups() -> None:
    noise = {name.upper(): "noise" for name in Settings.model_fields}
    assert load_settings(environ=noise, files=[]) == load_settings(environ={}, files=[])
