"""The tool `mail_draft`: puts a draft into the person's mailbox. Nothing leaves by that."""

from typing import Annotated, Any

from pydantic import Field
from pydantic_ai import RunContext, Tool

from app.agents import policy
from app.agents.context import AgentContext
from app.agents.mail import MOST_RECIPIENTS, MailBox, told
from app.agents.mail_answers import answered, offered
from app.agents.mail_message import MOST_BODY, outgoing
from app.agents.tool import ToolSpec

_Addresses = Annotated[list[str], Field(max_length=MOST_RECIPIENTS)]


async def mail_draft(
    ctx: RunContext[AgentContext],
    to: _Addresses,
    subject: str,
    body: Annotated[str, Field(max_length=MOST_BODY)],
    cc: _Addresses | None = None,
) -> dict[str, Any]:
    """Write a mail as a draft in the person's Gmail. It is not sent; mail_send sends it.

    Args:
        ctx: The run.
        to: Bare e-mail addresses of the recipients.
        subject: The subject, in one line.
        body: The text of the mail, plain.
        cc: Bare e-mail addresses of those who get a copy.
    """

    async def work(box: MailBox) -> dict[str, Any]:
        message = outgoing(to, subject, body, cc or ())
        draft = await box.draft(ctx.deps.effect_key(ctx.tool_call_id or ""), message)
        return {"status": "drafted", "draft_id": draft.id, **told(draft.message)}

    return await answered(ctx.deps, work)


TOOL = ToolSpec(
    tool=Tool(mail_draft, max_retries=2, prepare=offered),
    scope="Puts drafts into the person's own connected Gmail account; sends nothing.",
    effect="write",
    policy=lambda context, _arguments: policy.of_draft(context),
)
