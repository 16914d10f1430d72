"""The rule of citations as a capability: an answer that cites what was never fetched goes back to the model."""

from typing import Any

from pydantic import ValidationError
from pydantic_ai import ModelRetry, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.output import OutputContext
from pydantic_ai.tools import DeferredToolRequests

from app.agents.citations import complaint
from app.agents.context import AgentContext
from app.agents.research import Finding


class Citing(AbstractCapability[AgentContext]):
    """Checks the findings of a researcher: their shape, and that every reference was really fetched."""

    async def after_output_validate(
        self, ctx: RunContext[AgentContext], *, output_context: OutputContext, output: Any
    ) -> Any:
        """The output as it is; raises ModelRetry with what is wrong with it."""
        if ctx.deps.sources is None or isinstance(output, DeferredToolRequests):
            return output
        try:
            finding = Finding.model_validate(output)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ModelRetry(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
        known = await ctx.deps.sources.known()
        unread = [ref for said in finding.statements for ref in said.refs if ref not in known]
        texts = [*(said.text for said in finding.statements), *finding.gaps, *unread]
        wrong = complaint(texts, known.keys(), known.values())
        if wrong is None and unread:
            wrong = f"{unread[0]!r} is no reference. Give the references that read_source gave."
        if wrong is not None:
            raise ModelRetry(wrong)
        return output
