"""The tool `mail_reply`: a draft that answers a mail, in its thread. Nothing leaves by that."""

from typing import Annotated, Any

from pydantic import Field
from pydantic_ai import RunContext, Tool

from app.agents import policy
from app.agents.context import AgentContext
from app.agents.mail import MailBox, told
from app.agents.mail_answers import answered, offered
from app.agents.mail_message import MOST_BODY
from app.agents.tool import ToolSpec


async def mail_reply(
    ctx: RunContext[AgentContext],
    message_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")],
    body: Annotated[str, Field(min_length=1, max_length=MOST_BODY)],
    reply_all: bool = False,
) -> dict[str, Any]:
    """Write an answer to a mail as a draft in the person's Gmail. It is not sent; mail_send with its draft_id sends it.

    Args:
        ctx: The run.
        message_id: The `id` of the mail that is answered, as mail_search gave it.
        body: The text of the answer, plain, without the mail that it answers.
        reply_all: Whether everybody gets the answer whom the mail went to.
    """

    async def work(box: MailBox) -> dict[str, Any]:
        draft = await box.reply(ctx.deps.effect_key(ctx.tool_call_id or ""), message_id, body, to_all=reply_all)
        return {"status": "drafted", "draft_id": draft.id, **told(draft.message)}

    return await answered(ctx.deps, work)


TOOL = ToolSpec(
    tool=Tool(mail_reply, max_retries=2, prepare=offered),
    scope="Puts answers as drafts into the person's own connected Gmail account; sends nothing.",
    effect="write",
    taints=True,  # its answer names addresses and the subject of a mail that somebody else wrote
    policy=lambda context, _arguments: policy.of_draft(context),
)
