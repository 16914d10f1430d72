"""The tool `mail_send`: sends a mail from the person's own account, once, as policy and the person allow it."""

from typing import Annotated, Any

from pydantic import Field
from pydantic_ai import RunContext, Tool

from app.agents import policy
from app.agents.context import AgentContext
from app.agents.mail import MOST_RECIPIENTS, MailBox, MailProblem, told
from app.agents.mail_answers import answered, offered
from app.agents.mail_message import MOST_BODY, outgoing
from app.agents.policy import Verdict
from app.agents.tool import Arguments, ToolSpec

_Addresses = Annotated[list[str], Field(max_length=MOST_RECIPIENTS)]


async def mail_send(
    ctx: RunContext[AgentContext],
    to: _Addresses,
    subject: str,
    body: Annotated[str, Field(max_length=MOST_BODY)],
    cc: _Addresses | None = None,
    draft_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None,
) -> dict[str, Any]:
    """Send a mail from the person's Gmail. The person is asked before it leaves.

    Args:
        ctx: The run.
        to: Bare e-mail addresses of the recipients.
        subject: The subject, in one line.
        body: The text of the mail, plain, in full.
        cc: Bare e-mail addresses of those who get a copy.
        draft_id: The draft that becomes this mail, as mail_draft or mail_reply gave it; it keeps its thread.
    """

    async def work(box: MailBox) -> dict[str, Any]:
        message = outgoing(to, subject, body, cc or ())
        sent = await box.send(ctx.deps.effect_key(ctx.tool_call_id or ""), message, draft_id)
        return {"status": "sent", "id": sent.id, **{name: told(message)[name] for name in ("to", "cc", "subject")}}

    return await answered(ctx.deps, work)


async def _policy(context: AgentContext, arguments: Arguments) -> Verdict:
    try:
        message = outgoing(arguments["to"], arguments["subject"], arguments["body"], arguments.get("cc") or ())
    except MailProblem as problem:
        return Verdict("deny", problem.detail)
    answers: frozenset[str] = frozenset()
    if context.mail is not None and arguments.get("draft_id") and context.taint:
        answers = await context.mail.taking_part(str(arguments["draft_id"]))
    return policy.of_mail_send(context, message.recipients, answered=answers)


TOOL = ToolSpec(
    tool=Tool(mail_send, max_retries=2, prepare=offered),
    scope="Sends mail from the person's own connected Gmail account, after a person agreed or to granted addresses.",
    effect="write",
    policy=_policy,
)
