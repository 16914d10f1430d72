"""What a task's runs are told of: facts become rows of the outbox, in the unit that settles the run.

Nothing is sent here. A second settling of the same run writes nothing: each row has a key of its own.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from app.database.unit import Unit
from app.integrations.http import OutboundGuard
from app.models.approval import Approval
from app.models.errors import InvalidInput
from app.models.ids import new_id
from app.models.notification import NotificationConfig, Occasion, slack_hook
from app.models.run import Run, RunResult
from app.models.task import Task
from app.services.approval_views import revealed, sources

Moment = Literal["paused", "recovered"] | None

MOST_TEXT = 20_000
MOST_DATA = 65_536
MOST_ARGUMENTS = 2_000
_URGENT = frozenset({"run.waiting", "task.paused"})
_PROSE = ("message", "summary", "text", "report", "answer")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something worth telling: its type, what makes it one of a kind, and what a template may name of it."""

    type: str
    mark: str
    facts: dict[str, str]
    data: dict[str, Any]


def check(config: NotificationConfig, guard: OutboundGuard) -> None:
    """Refuse targets that could never be reached. Raises InvalidInput, naming the field or the setting."""
    if config.webhook_url is not None:
        guard.check_url(config.webhook_url)
    if config.slack_webhook_url is None:
        return
    try:
        slack_hook(config.slack_webhook_url)
    except ValueError as error:
        if not _listed(config.slack_webhook_url, guard):
            raise InvalidInput(f"body.notification_config.slack_webhook_url: {error}") from None
        guard.check_url(config.slack_webhook_url)


def _listed(url: str, guard: OutboundGuard) -> bool:
    try:
        return guard.listed(urlsplit(url).hostname or "")
    except ValueError:
        return False


async def after_run(unit: Unit, task: Task, run: Run, result: RunResult | None, moment: Moment) -> None:
    """Write down who is told of a run that has ended; `moment` says what it changed for its task.

    A webhook is sent every fact, people get one message: that the task was paused, or works again, says the rest.
    """
    config = NotificationConfig.model_validate(task.notification_config)
    told = _told(config.occasions, run, result, moment)
    if not told or not config.channels:
        return
    if moment == "paused":
        task = await unit.tasks.get(task.id) or task
    facts = [_of_run(name, task, run, result) for name in told]
    for channel in config.channels:
        await _write(unit, task, run, config, channel, facts if channel == "webhook" else facts[-1:])


def _told(wanted: frozenset[Occasion], run: Run, result: RunResult | None, moment: Moment) -> list[str]:
    told: list[str] = []
    if run.status == "completed":
        telling = "success" in wanted
        if "worth_telling" in wanted:
            telling = _worth_telling(result)
        told += ["run.completed"] if telling else []
        told += ["task.recovered"] if moment == "recovered" and "recovery" in wanted else []
    elif run.status == "failed":
        told += ["run.failed"] if "failure" in wanted else []
        told += ["task.paused"] if moment == "paused" and "paused" in wanted else []
    return told


def _worth_telling(result: RunResult | None) -> bool:
    """Whether the agent's structured answer says `notify: true`."""
    data: Any = result.data if result else None
    return isinstance(data, dict) and cast("dict[str, Any]", data).get("notify") is True


async def waiting(unit: Unit, task: Task, run: Run, approvals: Sequence[Approval]) -> None:
    """Write down who is told that a run waits for these decisions. Each set of them is told of once."""
    config = NotificationConfig.model_validate(task.notification_config)
    if "waiting" not in config.occasions or not approvals:
        return
    ids = sorted(str(approval.id) for approval in approvals)
    asked = "\n\n".join(_asked(approval) for approval in approvals)
    made = _of_run("run.waiting", task, run, None)
    fact = Fact(
        made.type,
        hashlib.sha256(" ".join(ids).encode()).hexdigest()[:16],
        {**made.facts, "detail": _cut(asked, MOST_TEXT)},
        {**made.data, "approval_ids": ids},
    )
    for channel in config.channels:
        await _write(unit, task, run, config, channel, [fact])


async def task_paused(unit: Unit, task: Task, reason: str) -> None:
    """Write down who is told that a task was paused by the platform, other than at the end of a run."""
    config = NotificationConfig.model_validate(task.notification_config)
    if "paused" not in config.occasions:
        return
    made = _of_task("task.paused", task)
    at = task.paused_at.isoformat() if task.paused_at else str(new_id())
    fact = Fact(made.type, at, {**made.facts, "detail": reason}, {**made.data, "pause_reason": reason})
    for channel in config.channels:
        await _write(unit, task, None, config, channel, [fact])


async def _write(
    unit: Unit, task: Task, run: Run | None, config: NotificationConfig, channel: str, facts: Sequence[Fact]
) -> None:
    for fact in facts:
        digest = config.digest if fact.type not in _URGENT else None
        values = {
            "id": new_id(),
            "user_id": task.user_id,
            "task_id": task.id,
            "run_id": run.id if run else None,
            "event": fact.type,
            "channel": channel,
            "target": target_of(config, channel),
            "content": _content(config, channel, fact),
            "status": "held" if digest else "pending",
            "dedup_key": ":".join(filter(None, (str(run.id if run else task.id), fact.type, fact.mark, channel))),
        }
        await unit.deliveries.add(values, held_seconds=digest.every_seconds if digest else None)


def target_of(config: NotificationConfig, channel: str | None) -> dict[str, str]:
    """Where a channel leads for a task, as a delivery keeps it. An empty `to` is the operator's own target."""
    if channel == "email":
        return {"to": config.email_address or "", "place": "smtp"}
    if channel == "webhook":
        return {"to": config.webhook_url or "", "place": urlsplit(config.webhook_url or "").netloc}
    return {"to": config.slack_webhook_url or config.slack_channel or "", "place": "slack"}


def _content(config: NotificationConfig, channel: str, fact: Fact) -> dict[str, Any]:
    second = config.fallback
    fallback = second and {
        "channel": second,
        "target": target_of(config, second),
        "template": _template(config, second),
    }
    return {
        "type": fact.type,
        "facts": fact.facts,
        "data": fact.data,
        "template": _template(config, channel),
        "fallback": fallback,
    }


def _template(config: NotificationConfig, channel: str | None) -> dict[str, Any] | None:
    return next((words.model_dump() for name, words in (config.templates or {}).items() if name == channel), None)


def _of_task(type_: str, task: Task) -> Fact:
    title = task.title or _cut(" ".join(task.prompt.split()), 80)
    facts = {"title": title, "event": type_, "agent": task.agent, "task_id": str(task.id), "path": f"/tasks/{task.id}"}
    data = {"task_id": str(task.id), "task_type": task.pattern, "task_title": title, "agent": task.agent}
    if task.pause_reason:
        facts["detail"] = data["pause_reason"] = task.pause_reason
    return Fact(type_, "", facts, data)


def _of_run(type_: str, task: Task, run: Run, result: RunResult | None) -> Fact:
    made = _of_task(type_, task)
    facts = {
        "status": run.status,
        "reason": run.status_reason or "",
        "detail": run.status_detail or "",
        "result": _cut(_prose(result), MOST_TEXT),
        "run_id": str(run.id),
        "path": f"/runs/{run.id}",
    }
    data = {
        "run_id": str(run.id),
        "conversation_id": str(run.conversation_id),
        "status": run.status,
        "status_reason": run.status_reason,
        "status_detail": run.status_detail,
        "result": _bounded(result),
        "trigger": run.trigger,
        "attempt": run.attempt,
    }
    if type_ == "task.paused":
        facts["detail"] = "\n\n".join(filter(None, (made.facts.get("detail"), facts["detail"])))
    return Fact(type_, "", {**made.facts, **facts}, {**made.data, **data})


def _prose(result: RunResult | None) -> str:
    """The answer as Markdown; of data its telling field, else all of it as JSON."""
    if result is None or result.data is None:
        return (result.text if result else None) or ""
    data: Any = result.data
    if isinstance(data, str):
        return data
    values = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    for name in _PROSE:
        if isinstance(values.get(name), str) and values[name]:
            return values[name]
    return f"```json\n{json.dumps(data, ensure_ascii=False, indent=2)}\n```"


def _bounded(result: RunResult | None) -> Any:
    """The answer as data, or a cut text where it is too large to be carried along."""
    answer = (result.text if result.data is None else result.data) if result else None
    if answer is None or len(json.dumps(answer, ensure_ascii=False)) <= MOST_DATA:
        return answer
    return _cut(_prose(result), MOST_TEXT)


def _asked(approval: Approval) -> str:
    shown = revealed(json.dumps(approval.arguments, ensure_ascii=False, indent=2))
    read = sources(approval.taint)
    why = " ".join(filter(None, (approval.reason, read and f"The run has read: {read}.")))
    asked = (
        f"**{approval.tool}** ({approval.kind}, approval {approval.id})\n\n```json\n{_cut(shown, MOST_ARGUMENTS)}\n```"
    )
    return f"{asked}\n\n{revealed(why)}" if why else asked


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
