"""Servers of tools (MCP) that the operator has configured: where they are, and which of their tools are trusted."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from app.models.errors import SettingError

VARIABLE = "SIXLANE_MCP"

_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,31}$")]


class McpServer(BaseModel):
    """A server: a program that talks over its standard streams (`command`), or one at a `url`.

    Its tools are effects that a person is asked about, but for those in `allow`, which run at once, and those in
    `read`, which change nothing and may run again. What the server says of its tools itself loosens nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict[str, str])
    url: str | None = None
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    allow: frozenset[str] = frozenset()
    read: frozenset[str] = frozenset()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.command is None) is (self.url is None):
            raise ValueError("give either command or url")
        return self


_SERVERS = TypeAdapter(dict[_Name, McpServer])


def load_servers(text: str | None) -> Mapping[str, McpServer]:
    """The servers by name, from a JSON object or the path of a file that holds one. Raises SettingError."""
    if not text or not text.strip():
        return {}
    where = VARIABLE
    if not text.lstrip().startswith("{"):
        path = Path(text.strip()).expanduser()
        where = f"{VARIABLE}: {path}"
        try:
            text = path.read_text()
        except (OSError, UnicodeError) as error:
            raise SettingError(f"{where} cannot be read: {error}") from error
    try:
        document: Any = json.loads(text)
        if isinstance(document, dict) and set(cast("dict[str, Any]", document)) == {"mcpServers"}:
            document = cast("dict[str, Any]", document)["mcpServers"]  # the form that other clients of MCP write
        return _SERVERS.validate_python(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = ".".join(str(part) for part in first["loc"])
        raise SettingError(f"{where}: {at}: {first['msg']}") from None
    except ValueError as error:
        raise SettingError(f"{where} is no JSON: {error}") from error
