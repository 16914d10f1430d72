"""The tool `mail_label`: archives, marks, stars and labels mails. Nothing is deleted, and everything can be undone."""

from typing import Annotated, Any

from pydantic import Field
from pydantic_ai import RunContext, Tool, ToolFailed

from app.agents import policy
from app.agents.context import AgentContext
from app.agents.mail import MOST_LABELLED, Action, MailBox
from app.agents.mail_answers import answered, offered
from app.agents.tool import ToolSpec

_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


async def mail_label(
    ctx: RunContext[AgentContext],
    mail_ids: Annotated[list[_Id], Field(min_length=1, max_length=MOST_LABELLED)],
    actions: Annotated[list[Action], Field(max_length=6)] | None = None,
    labels: Annotated[list[Annotated[str, Field(max_length=225)]], Field(max_length=10)] | None = None,
) -> dict[str, Any]:
    """Archive, mark or star mails in the person's Gmail, or put labels on them that it has.

    Args:
        ctx: The run.
        mail_ids: The `id`s of the mails, as mail_search gave them.
        actions: What to do with them.
        labels: Names of labels to put on them.
    """
    if not actions and not labels:
        raise ToolFailed("Name at least one action or label.")

    async def work(box: MailBox) -> dict[str, Any]:
        done = await box.label(mail_ids, actions or (), labels or ())
        return {"status": "done", "mails": done.count, "added": list(done.added), "removed": list(done.removed)}

    return await answered(ctx.deps, work)


TOOL = ToolSpec(
    tool=Tool(mail_label, max_retries=2, prepare=offered),
    scope="Archives, marks, stars and labels mails of the person's own connected Gmail account; deletes nothing.",
    effect="write",
    policy=lambda context, arguments: policy.of_mail_label(context, len(arguments.get("mail_ids") or ())),
)
