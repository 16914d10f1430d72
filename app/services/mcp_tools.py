"""Tools of other servers (MCP): connected for one attempt, each call under policy and in the journal.

What such a server says of its tools loosens nothing: they are effects that a person is asked about, unless the operator
trusts them, and what they answer was written by others.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, cast

from pydantic_ai import Tool
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, WrapperToolset

from app.agents.context import AgentContext, Policy
from app.agents.definition import AgentDefinition
from app.agents.policy import Verdict
from app.agents.servers import McpServer
from app.agents.tool import Arguments, ToolSpec
from app.integrations.pinned import pinned_client
from app.models.agent import McpSource
from app.models.errors import AppError, InvalidInput, Transient
from app.services.workshop import Workshop

CONNECT_SECONDS = 15.0
CALL_SECONDS = 110.0
_RETRIES = 2

Told = Callable[[ToolDefinition], ToolSpec | None]
"""What the journal is to know of a tool that it was not told of."""


def servers_of(shared: Workshop, definition: AgentDefinition) -> list[AbstractToolset[AgentContext]]:
    """The servers' tools as the agent has them, named `<server>_<tool>`; nothing is connected yet.

    Raises InvalidInput for a server that the operator has not configured any more.
    """
    return [_server(shared, source).prefixed(source.name) for source in definition.mcp]


def spec_teller(shared: Workshop, definition: AgentDefinition) -> Told:
    """Tells of the tools of these servers by their names."""

    def tell(tool: ToolDefinition) -> ToolSpec | None:
        for source in definition.mcp:
            name = tool.name.removeprefix(f"{source.name}_")
            if name != tool.name:
                trusted = shared.registry.servers.get(source.name) if source.url is None else None
                return _spec(tool, name, source, trusted)
        return None

    return tell


def _spec(tool: ToolDefinition, name: str, source: McpSource, trusted: McpServer | None) -> ToolSpec:
    read = trusted is not None and name in trusted.read
    allowed: Policy = "allow" if read or (trusted is not None and name in trusted.allow) else "ask"
    known = Tool[AgentContext].from_schema(_not_called, tool.name, tool.description, tool.parameters_json_schema)
    return ToolSpec(
        tool=known,
        scope=f"A tool of the server {source.name} at {source.url or 'the place that the operator has configured'}.",
        effect="read" if read else "write",
        taints=True,
        policy=partial(_ruling, Verdict(allowed, "" if allowed == "allow" else _WHY)),
        repeatable=partial(_repeatable, read),
    )


_WHY = "What a tool of another server does is not known here."


def _ruling(said: Verdict, _context: AgentContext, _arguments: Arguments) -> Verdict:
    return said


def _repeatable(said: bool, _context: AgentContext, _arguments: Arguments) -> bool:
    return said


async def _not_called(**_arguments: Any) -> None:
    raise AssertionError("the server carries out its tools")


def _server(shared: Workshop, source: McpSource) -> "_Connected":
    from pydantic_ai.mcp import MCPToolset  # late: it loads a second of libraries

    options: dict[str, Any] = {
        "id": source.name,
        "max_retries": _RETRIES,
        "tool_error_behavior": "failed",
        "init_timeout": CONNECT_SECONDS,
        "read_timeout": CALL_SECONDS,
    }
    if source.url is not None:
        shared.outbound.check_url(source.url)
        client = pinned_client(shared.outbound, seconds=CALL_SECONDS)
        return _Connected(MCPToolset(source.url, http_client=client, **options), source.name, client.aclose)
    server = shared.registry.servers.get(source.name)
    if server is None:
        raise InvalidInput(
            f"The operator has configured no server {source.name!r} any more.", code="unknown_mcp_server"
        )
    if server.url is not None:
        return _Connected(MCPToolset(server.url, headers=server.headers, **options), source.name)
    from fastmcp.client.transports import StdioTransport

    assert server.command is not None
    transport = StdioTransport(server.command, list(server.args), env=server.env or None, keep_alive=False)
    return _Connected(MCPToolset(transport, **options), source.name)


@dataclass
class _Connected(WrapperToolset[AgentContext]):
    """Says plainly which server cannot be reached, and leaves nothing open."""

    name: str
    close: Callable[[], Awaitable[None]] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self.wrapped.__aenter__()
        except Exception as error:
            known = next((one for one in _causes(error) if isinstance(one, AppError)), None)
            if known is not None:
                raise known from error
            said = " ".join(str(error).split())[:300] or type(error).__name__
            detail = f"The server of tools {self.name} cannot be reached: {said}"
            raise Transient(detail, code="mcp_unreachable") from error
        return self

    async def __aexit__(self, *args: Any) -> bool | None:
        try:
            return await self.wrapped.__aexit__(*args)
        finally:
            if self.close is not None:
                await self.close()


def _causes(error: BaseException) -> Sequence[BaseException]:
    """The error, what caused it, and what groups of either hold."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or one in found:
            continue
        found.append(one)
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += list(cast("BaseExceptionGroup[BaseException]", one).exceptions)
    return found
