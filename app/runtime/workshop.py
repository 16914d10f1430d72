"""The parts of a process that executes runs: agents, models, the executor, chat and the claim pool."""

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import SecretStr

from app.config import Settings, choose_model
from app.models.turn import Caps
from app.runtime.parts import Runtime, Workshop

if TYPE_CHECKING:
    from app.agents.llm import ModelOptions, ModelSource
    from app.agents.registry import AgentRegistry
    from app.integrations.google import GoogleOptions
    from app.integrations.search import WebSearch
    from app.services.agent_executor import Executor
    from app.services.chat import Chat
    from app.services.planner import Planners


def with_workshop(runtime: Runtime, google: "GoogleOptions | None" = None) -> Runtime:
    """The runtime with everything that executes runs; without `google` nobody's mailbox can be connected."""
    # Late: the scheduler and most commands never load the agent library.
    from app.services.agent_executor import Executor, ExecutorOptions
    from app.services.claims import ClaimPool, PoolOptions
    from app.services.file_room import MEGABYTE, FileRoom
    from app.services.mailbox import Mailboxes
    from app.services.workshop import Workshop as Shared

    settings = runtime.settings
    registry, models = _agents(settings)
    mailboxes = Mailboxes(runtime.database, runtime.vault, google) if google else None
    executor = Executor(
        workshop=Shared(
            runtime.database,
            registry,
            models,
            runtime.guard,
            mail=mailboxes.of if mailboxes else None,
            planner=_planners(runtime, registry, models).of,
            context_bytes=settings.server.max_context_bytes,
            search=_search(settings),
            files=FileRoom(runtime.database, settings.files.max_mb * MEGABYTE, settings.files.quota_mb * MEGABYTE),
        ),
        hub=runtime.hub,
        options=ExecutorOptions(runtime.process_id, settings.runs.lease_seconds, settings.runs.max_attempts),
        spawn=runtime.tasks.start,
        metrics=runtime.metrics,
    )
    caps = PoolOptions(
        size=settings.runs.worker_concurrency,
        per_user={
            "interactive": settings.runs.cap_user_interactive,
            "background": settings.runs.cap_user_background,
            "research": settings.runs.cap_user_research,
        },
        per_agent=settings.runs.cap_agent,
        per_workspace=settings.runs.cap_workspace,
    )
    pool = ClaimPool(runtime.database, executor, caps)
    chat = _chat(runtime, executor, registry, models)
    return replace(runtime, workshop=Workshop(registry, models, executor, chat, pool, mailboxes))


def _agents(settings: Settings) -> "tuple[AgentRegistry, ModelSource]":
    """All agents of the server and the models that they are asked with. Raises SettingError."""
    from app.agents.llm import ModelSource
    from app.agents.own import brought_models, load
    from app.agents.registry import AgentRegistry
    from app.agents.servers import load_servers

    own, models = load(settings.agents.own), ModelSource(_model_options(settings))
    for name, model in brought_models(own):
        models.know(name, model)
    return AgentRegistry(own=own, servers=load_servers(plain(settings.agents.mcp))), models


def _planners(runtime: Runtime, registry: "AgentRegistry", models: "ModelSource") -> "Planners":
    from app.services.orders import Desk
    from app.services.planner import Planners

    settings = runtime.settings
    desk = Desk(
        registry,
        models,
        runtime.guard,
        runtime.vault,
        max_attempts=settings.runs.max_attempts,
        min_seconds=settings.schedules.min_seconds,
        production=settings.production,
    )
    return Planners(runtime.database, desk)


def _chat(runtime: Runtime, executor: "Executor", registry: "AgentRegistry", models: "ModelSource") -> "Chat":
    from app.services.chat import Chat
    from app.services.intake import Claimant

    runs = runtime.settings.runs
    return Chat(
        database=runtime.database,
        hub=runtime.hub,
        executor=executor,
        registry=registry,
        models=models,
        claimant=Claimant(
            runtime.process_id,
            runs.lease_seconds,
            Caps(runs.cap_user_interactive, runs.cap_agent, runs.cap_workspace),
        ),
        wait_seconds=runtime.settings.server.chat_wait_seconds,
        context_bytes=runtime.settings.server.max_context_bytes,
    )


def _search(settings: Settings) -> "WebSearch":
    from app.integrations.search import SearchOptions, WebSearch

    wanted, provider = settings.search, settings.search.provider
    if provider == "auto":
        provider = "tavily" if wanted.tavily_api_key else "searxng" if wanted.searxng_url else "duckduckgo"
    return WebSearch(SearchOptions(provider, plain(wanted.tavily_api_key), wanted.tavily_base_url, wanted.searxng_url))


def _model_options(settings: Settings) -> "ModelOptions":
    from app.agents.llm import ModelOptions

    models = settings.models
    return ModelOptions(
        openai_api_key=plain(models.openai_api_key),
        openai_base_url=models.openai_base_url,
        anthropic_api_key=plain(models.anthropic_api_key),
        anthropic_base_url=models.anthropic_base_url,
        ollama_base_url=models.ollama_base_url,
        default_model=choose_model(models).name,
        fallback_models=models.fallbacks,
        demo=models.demo,
        read_timeout=models.timeout_seconds,
        context_tokens=models.context_tokens,
    )


def plain(value: SecretStr | None) -> str | None:
    """A secret of the settings in plain text."""
    return value.get_secret_value() if value else None
