"""Models by name: one shared client per provider, the fallback list, and which model is the default."""

import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx2
from pydantic_ai.models import Model, get_user_agent
from pydantic_ai.models.fallback import FallbackModel

from app.agents.demo import demo_model
from app.agents.failures import Permanent, classify
from app.agents.prices import price_known
from app.models.errors import SettingError

__all__ = ["DEMO", "Choice", "ModelOptions", "ModelSource", "Permanent", "classify", "price_known"]

DEMO = "demo"
"""The name of the demo model."""

_KEPT_CONNECTIONS = 20  # every kept connection is looked at on every call, so a burst must not leave hundreds
_DEFAULTS = (
    ("openai_api_key", "OPENAI_API_KEY", "openai:gpt-6.1-sol"),
    ("anthropic_api_key", "ANTHROPIC_API_KEY", "anthropic:claude-sonnet-5-5"),
)


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The settings that models need. `read_timeout` is in seconds between two pieces of an answer."""

    openai_api_key: str | None = None
    openai_base_url: str | None = None
    anthropic_api_key: str | None = None
    anthropic_base_url: str | None = None
    ollama_base_url: str | None = None
    default_model: str | None = None
    fallback_models: tuple[str, ...] = ()
    demo: bool = False
    read_timeout: float = 120.0
    connect_timeout: float = 5.0
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The default model and the variable (or option) that chose it."""

    model: str
    because: str


before_sending: ContextVar[Callable[[], Awaitable[None]] | None] = ContextVar("before_sending", default=None)
"""What a run does right before a request of its model leaves: a process may have frozen since it decided to ask."""


@cache
def _trust() -> ssl.SSLContext:
    """The certificates that this machine trusts: reading them takes 30 ms, so all clients share them."""
    return httpx2.create_ssl_context()


async def _look(request: httpx2.Request) -> None:
    """Have the run look when the connection stands and nothing is written yet: until then it may wait for long."""
    look = before_sending.get()
    if look is None:
        return

    async def trace(name: str, _about: Mapping[str, Any]) -> None:
        if name.endswith(".send_request_headers.started"):
            await look()

    request.extensions = {**request.extensions, "trace": trace}


class ModelSource:
    """Resolves model names. Clients are opened on first use and shared by all runs of the process."""

    def __init__(self, options: ModelOptions) -> None:
        self._options = options
        self._clients: dict[str, Any] = {}
        self._https: list[httpx2.AsyncClient] = []
        self._models: dict[str, Model] = {}
        self._makers: dict[str, Callable[[str], Model]] = {
            "openai": self._openai,
            "openai-chat": self._openai_chat,
            "openai-responses": self._openai_responses,
            "anthropic": self._anthropic,
            "ollama": self._ollama,
        }

    @property
    def default(self) -> Choice:
        """The model of runs that name none: DEFAULT_MODEL, else the first provider with a key, else the demo model."""
        options = self._options
        if options.demo:
            return Choice(DEMO, "--demo")
        if options.default_model:
            return Choice(options.default_model, "DEFAULT_MODEL")
        for attribute, variable, model in _DEFAULTS:
            if getattr(options, attribute):
                return Choice(model, variable)
        return Choice(DEMO, "no model is configured")

    @property
    def window(self) -> int | None:
        """The tokens that a request may hold, as the operator says; None goes by what is known of each model."""
        return self._options.context_tokens

    def name(self, wanted: str | None) -> str:
        """The name of the model that a run gets that asks for `wanted`; `--demo` overrules everything."""
        return self.default.model if wanted is None or self._options.demo else wanted

    def check(self, name: str) -> None:
        """Raise `SettingError`, naming the variable to set, for a model that cannot be called."""
        self._single(name)

    def resolve(self, wanted: str | None = None) -> Model:
        """The model of that name, followed by the fallback list; the response says which of them answered.

        Raises `SettingError` naming the variable that is missing. The demo model neither falls back nor is one.
        """
        name = self.name(wanted)
        if name == DEMO:
            return self._single(name)
        others = [other for other in self._options.fallback_models if other != name]
        if DEMO in others:
            raise SettingError("SIXLANE_FALLBACK_MODELS: the demo model never stands in for a real one.")
        first = self._single(name)
        return FallbackModel(first, *(self._single(other) for other in others)) if others else first

    def know(self, name: str, model: Model) -> None:
        """Resolve this name to a model that somebody else has made."""
        self._models[name] = model

    async def aclose(self) -> None:
        """Close every client."""
        for client in self._https:
            await client.aclose()
        self._https.clear()
        self._clients.clear()
        self._models.clear()

    def _single(self, name: str) -> Model:
        if name not in self._models:
            self._models[name] = self._make(name)
        return self._models[name]

    def _make(self, name: str) -> Model:
        if name == DEMO:
            return demo_model()
        provider, _, model = name.partition(":")
        if provider not in self._makers or not model:
            raise SettingError(
                f"{name!r} names no model; write provider:name with one of {', '.join(self._makers)}, or demo."
            )
        return self._makers[provider](model)

    def _openai(self, model: str) -> Model:
        # Most servers that speak this protocol only know chat completions.
        return self._openai_chat(model) if self._options.openai_base_url else self._openai_responses(model)

    def _openai_chat(self, model: str) -> Model:
        from pydantic_ai.models.openai import OpenAIChatModel

        return OpenAIChatModel(model, provider=self._openai_provider())

    def _openai_responses(self, model: str) -> Model:
        from pydantic_ai.models.openai import OpenAIResponsesModel

        return OpenAIResponsesModel(model, provider=self._openai_provider())

    def _openai_provider(self) -> Any:
        from pydantic_ai.providers.openai import OpenAIProvider

        options = self._options
        if not options.openai_api_key and not options.openai_base_url:
            raise SettingError("OPENAI_API_KEY is not set; set it, or choose another model with DEFAULT_MODEL.")
        client = self._openai_client("openai", options.openai_api_key or "none", options.openai_base_url)
        return OpenAIProvider(openai_client=client)

    def _ollama(self, model: str) -> Model:
        from pydantic_ai.models.ollama import OllamaModel
        from pydantic_ai.providers.ollama import OllamaProvider

        url = self._options.ollama_base_url
        if not url:
            raise SettingError("OLLAMA_BASE_URL is not set; for a server on this machine: http://localhost:11434/v1")
        return OllamaModel(model, provider=OllamaProvider(openai_client=self._openai_client("ollama", "none", url)))

    def _openai_client(self, provider: str, key: str, url: str | None) -> Any:
        from openai import AsyncOpenAI

        if provider not in self._clients:
            self._clients[provider] = AsyncOpenAI(
                api_key=key,
                base_url=url or "https://api.openai.com/v1",
                max_retries=0,
                timeout=self._timeout(),
                http_client=self._http(),
            )
        return self._clients[provider]

    def _anthropic(self, model: str) -> Model:
        from anthropic import AsyncAnthropic
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        options = self._options
        if not options.anthropic_api_key:
            raise SettingError("ANTHROPIC_API_KEY is not set; set it, or choose another model with DEFAULT_MODEL.")
        if "anthropic" not in self._clients:
            self._clients["anthropic"] = AsyncAnthropic(
                api_key=options.anthropic_api_key,
                base_url=options.anthropic_base_url or "https://api.anthropic.com",
                max_retries=0,
                timeout=self._timeout(),
                http_client=self._http(),
            )
        return AnthropicModel(model, provider=AnthropicProvider(anthropic_client=self._clients["anthropic"]))

    def _timeout(self) -> httpx2.Timeout:
        return httpx2.Timeout(self._options.read_timeout, connect=self._options.connect_timeout)

    def _http(self) -> httpx2.AsyncClient:
        client = httpx2.AsyncClient(
            verify=_trust(),
            timeout=self._timeout(),
            limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=_KEPT_CONNECTIONS),
            headers={"User-Agent": get_user_agent()},
            event_hooks={"request": [_look]},
        )
        self._https.append(client)
        return client
