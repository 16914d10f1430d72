"""The house rules that no linter knows: one place per thing, sizes, registries without gaps."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.agents.patterns import PATTERNS
from app.agents.tools import TOOLS
from app.api.routers import ROUTERS
from app.database import models as tables
from app.models import approval, conversation, identity, run, task
from app.models.events import CATALOGUE

APP = Path(__file__).parents[2] / "app"
FILES = sorted(path for path in APP.rglob("*.py"))


def names_holding(pattern: str) -> set[str]:
    return {str(path.relative_to(APP)) for path in FILES if re.search(pattern, path.read_text())}


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(APP)}:{node.name}", node


def test_one_file_commits() -> None:
    assert names_holding(r"\.commit\(") == {"database/connection.py"}


def test_a_status_changes_in_one_store() -> None:
    assert names_holding(r"update\(runs\)") == {"database/stores/runs.py", "database/stores/events.py"}
    assert "status" not in (APP / "database/stores/events.py").read_text().split("update(runs)")[1].split("\n")[0]
    assert names_holding(r"UPDATE runs") == {
        "database/stores/queue.py",
        "database/stores/settling.py",
        "database/stores/turns.py",
    }


def test_only_the_runtime_and_the_outside_parts_start_tasks() -> None:
    allowed = {"runtime/parts.py", "services/up.py"}
    found = names_holding(r"(asyncio|loop)\.create_task\(")
    assert {name for name in found if not name.startswith("integrations/")} <= allowed


def test_units_of_requests_end_before_the_answer() -> None:
    for path in (APP / "api").glob("*.py"):
        text = path.read_text()
        for found in re.finditer(r"Depends\((_?unit\w*)([^)]*)\)", text):
            assert 'scope="function"' in found.group(2), f"{path.name}: {found.group(0)}"


def test_nothing_stored_is_executed() -> None:
    assert not names_holding(r"\b(pickle|marshal|eval|exec)\(|import (pickle|marshal)|yaml\.load\b|\bjinja2\b")


@pytest.mark.parametrize(
    ("folder", "registered"),
    [
        ("agents/patterns", {pattern.name for pattern in PATTERNS}),
        ("agents/tools", {spec.tool.function.__module__.rsplit(".", 1)[-1] for spec in TOOLS}),
    ],
)
def test_every_part_is_in_its_tuple(folder: str, registered: set[str]) -> None:
    there = {path.stem for path in (APP / folder).glob("*.py")} - {"__init__"}
    assert there == registered


def test_every_door_is_in_the_tuple() -> None:
    doors = {path.stem for path in (APP / "api").glob("*.py") if re.search(r"^router\b.*=", path.read_text(), re.M)}
    listed = (APP / "api/routers.py").read_text()
    assert ROUTERS
    assert {door for door in doors if not re.search(rf"\b{door}\b", listed)} == set()


def test_files_and_functions_stay_small() -> None:
    long_files = {str(path.relative_to(APP)) for path in FILES if path.read_text().count("\n") > 400}
    long_functions = {name for name, node in functions() if (node.end_lineno or 0) - node.lineno + 1 > 45}
    assert (long_files, long_functions) == (set(), set())


def test_everything_public_says_what_it_promises() -> None:
    for path in FILES:
        assert ast.get_docstring(ast.parse(path.read_text())) or not path.read_text().strip(), path


@pytest.mark.parametrize(
    ("table", "shape"),
    [
        (tables.runs, run.Run),
        (tables.run_results, run.RunResult),
        (tables.tool_calls, run.ToolCall),
        (tables.conversations, conversation.Conversation),
        (tables.entries, conversation.Entry),
        (tables.tasks, task.Task),
        (tables.approvals, approval.Approval),
        (tables.users, identity.User),
        (tables.api_keys, identity.ApiKey),
        (tables.workspaces, identity.Workspace),
    ],
)
def test_rows_have_the_columns_of_their_table(table: object, shape: type) -> None:
    marks = {"settled_at", "announced_at"}  # set and asked for by the settling, read by nobody
    columns = [column.name for column in table.columns if column.name not in marks]  # type: ignore[attr-defined]
    assert sorted(columns) == sorted(field.name for field in dataclasses.fields(shape))


def test_every_tenant_table_is_keyed_by_workspace() -> None:
    global_tables = {"app_clock", "workspaces", "processes"}
    for table in tables.metadata.sorted_tables:
        if table.name not in global_tables:
            assert next(iter(table.primary_key.columns)).name == "workspace_id", table.name


def test_the_catalogue_is_the_one_that_the_design_names() -> None:
    names = {model.model_fields["type"].annotation.__args__[0] for model in CATALOGUE}  # type: ignore[union-attr]
    assert names == {
        *("run.queued", "run.started", "run.waiting", "run.retrying", "run.completed", "run.failed", "run.cancelled"),
        *("run.snapshot", "message.delta", "message.completed", "tool.call", "tool.result", "approval.requested"),
        *("approval.decided", "approval.expired", "usage.updated", "plan.updated", "context.patch", "delivery.updated"),
    }
