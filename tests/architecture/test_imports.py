"""What a process loads: the scheduler never loads the agent library, and the command line loads little."""

import subprocess
import sys


def loaded(code: str) -> set[str]:
    program = f"{code}\nimport sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_scheduler_never_loads_the_agent_library() -> None:
    modules = loaded("import app.workers.scheduler, app.services.intake, app.services.upkeep")
    assert "app.runtime" in modules
    assert not {name for name in modules if name.partition(".")[0] in ("pydantic_ai", "openai", "anthropic", "fastapi")}


def test_the_command_line_loads_late() -> None:
    modules = loaded("import app.cli")
    assert not modules & {"sqlalchemy", "fastapi", "pydantic_ai", "arq", "apscheduler", "app.runtime"}
