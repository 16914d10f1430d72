"""The settings: every variable that the product reads, its default and the group it belongs to."""

import hashlib
import ipaddress
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import platformdirs
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()  # it is passed on to processes that may stand elsewhere


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(one, strict=False)) for one in value)


Folder = Annotated[Path, AfterValidator(_absolute)]
CommaList = Annotated[tuple[str, ...], BeforeValidator(_split)]
Networks = Annotated[CommaList, AfterValidator(_networks)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=1, le=100_000)]
Address = Annotated[str, Field(pattern=r"^https?://[^/\s]+")]
Rate = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,6}/(second|minute|hour|day)$")]
Cap = Annotated[int, Field(ge=0, le=100_000)]


class Group(BaseModel):
    """Settings that belong together; a field's alias is the name of its variable."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ServerSettings(Group):
    """The HTTP server. `public_url` is how the outside reaches it, where that is not host and port.

    `trusted_proxies` are the networks whose `X-Forwarded-For` names the sender. `api_key` is what commands that speak
    to a server (`chat`, `tour`) name themselves with.
    """

    host: str = Field(default="127.0.0.1", alias="SIXLANE_HOST")
    port: int = Field(default=8000, alias="SIXLANE_PORT", ge=0, le=65_535)
    public_url: str | None = Field(default=None, alias="PUBLIC_URL", pattern=r"^https?://[^/\s]+")
    cors_origins: CommaList = Field(default=(), alias="CORS_ORIGINS")
    trusted_proxies: Networks = Field(default=(), alias="SIXLANE_TRUSTED_PROXIES")
    max_body_bytes: int = Field(default=1_048_576, alias="SIXLANE_MAX_BODY_BYTES", ge=1024)
    max_context_bytes: int = Field(default=65_536, alias="SIXLANE_MAX_CONTEXT_BYTES", ge=256, le=1_048_576)
    chat_wait_seconds: Seconds = Field(default=300, alias="SIXLANE_CHAT_WAIT_SECONDS")
    shutdown_seconds: Seconds = Field(default=25, alias="SIXLANE_SHUTDOWN_SECONDS")
    api_key: SecretStr | None = Field(default=None, alias="SIXLANE_API_KEY")


class DatabaseSettings(Group):
    """PostgreSQL; without a URL or a host the embedded server is used."""

    url: SecretStr | None = Field(default=None, alias="DATABASE_URL")
    host: str | None = Field(default=None, alias="DB_HOST")
    name: str = Field(default="sixlane", alias="DB_NAME")
    user: str = Field(default="sixlane", alias="DB_USER")
    password: SecretStr | None = Field(default=None, alias="DB_PASSWORD")
    pool: Count = Field(default=20, alias="SIXLANE_DB_POOL")


class RedisSettings(Group):
    """Redis or Valkey; without a URL or a host the embedded server is used."""

    url: SecretStr | None = Field(default=None, alias="REDIS_URL")
    arq_url: SecretStr | None = Field(default=None, alias="ARQ_REDIS_URL")
    host: str | None = Field(default=None, alias="REDIS_HOST")
    port: int = Field(default=6379, alias="REDIS_PORT", ge=1, le=65_535)


class ModelSettings(Group):
    """Model providers; `fallbacks` are tried in order when the chosen model fails."""

    default: str | None = Field(default=None, alias="DEFAULT_MODEL")
    fallbacks: CommaList = Field(default=(), alias="SIXLANE_FALLBACK_MODELS")
    demo: bool = Field(default=False, alias="SIXLANE_DEMO")
    context_tokens: int | None = Field(default=None, ge=500, alias="SIXLANE_CONTEXT_TOKENS")
    openai_api_key: SecretStr | None = Field(default=None, alias="OPENAI_API_KEY")
    openai_base_url: str | None = Field(default=None, alias="OPENAI_BASE_URL")
    anthropic_api_key: SecretStr | None = Field(default=None, alias="ANTHROPIC_API_KEY")
    anthropic_base_url: str | None = Field(default=None, alias="ANTHROPIC_BASE_URL")
    ollama_base_url: str | None = Field(default=None, alias="OLLAMA_BASE_URL")
    timeout_seconds: Seconds = Field(default=120, alias="SIXLANE_MODEL_TIMEOUT_SECONDS")


class AgentSettings(Group):
    """The operator's own agents, as `module:attribute` or the path of a Python file; and servers of tools (MCP).

    `mcp` is a JSON object of servers by name, or the path of a file that holds one.
    """

    own: CommaList = Field(default=(), alias="SIXLANE_AGENTS")
    mcp: SecretStr | None = Field(default=None, alias="SIXLANE_MCP")


class SecretSettings(Group):
    """The keys that encrypt and sign what is stored; the first one writes, all of them read."""

    keys: SecretStr | None = Field(default=None, alias="SIXLANE_KEYS")
    encryption_key: SecretStr | None = Field(default=None, alias="ENCRYPTION_KEY")


class OutboundSettings(Group):
    """Requests to addresses that users or models chose: `host:port` pairs that are open besides public https."""

    allow_hosts: CommaList = Field(default=(), alias="OUTBOUND_ALLOW_HOSTS")


class SearchSettings(Group):
    """Searching the web. `auto` takes Tavily with its key, else SearXNG with its address, else DuckDuckGo."""

    provider: Literal["auto", "tavily", "searxng", "duckduckgo", "none"] = Field(default="auto", alias="SIXLANE_SEARCH")
    tavily_api_key: SecretStr | None = Field(default=None, alias="TAVILY_API_KEY")
    tavily_base_url: Address = Field(default="https://api.tavily.com", alias="SIXLANE_TAVILY_BASE_URL")
    searxng_url: Address | None = Field(default=None, alias="SIXLANE_SEARXNG_URL")


class RunSettings(Group):
    """How runs are claimed and held. A cap counts running runs; 0 means none."""

    lease_seconds: Seconds = Field(default=30, alias="SIXLANE_LEASE_SECONDS")
    worker_concurrency: Count = Field(default=100, alias="SIXLANE_WORKER_CONCURRENCY")
    max_attempts: Count = Field(default=10, alias="SIXLANE_MAX_ATTEMPTS")
    cap_user_interactive: Cap = Field(default=100, alias="SIXLANE_CAP_USER_INTERACTIVE")
    cap_user_background: Cap = Field(default=10, alias="SIXLANE_CAP_USER_BACKGROUND")
    cap_user_research: Cap = Field(default=8, alias="SIXLANE_CAP_USER_RESEARCH")
    cap_agent: Cap = Field(default=0, alias="SIXLANE_CAP_AGENT")
    cap_workspace: Cap = Field(default=0, alias="SIXLANE_CAP_WORKSPACE")


class ScheduleSettings(Group):
    """Schedules: how often one may fire at most, as the least number of seconds between two due times."""

    min_seconds: Seconds = Field(default=60, alias="SIXLANE_SCHEDULE_MIN_SECONDS")


class WebhookSettings(Group):
    """Incoming webhooks: the largest body, how old a signature may be, and how long an event is remembered."""

    max_bytes: int = Field(default=262_144, alias="SIXLANE_WEBHOOK_MAX_BYTES", ge=1024, le=1_048_576)
    tolerance_seconds: Seconds = Field(default=300, alias="SIXLANE_WEBHOOK_TOLERANCE_SECONDS")
    event_days: Count = Field(default=8, alias="SIXLANE_WEBHOOK_RETENTION_DAYS")


class MailSettings(Group):
    """The server that sends mail. `tls_ca_file` is trusted besides the system's authorities."""

    host: str | None = Field(default=None, alias="SMTP_HOST")
    port: int = Field(default=587, alias="SMTP_PORT", ge=1, le=65_535)
    username: str | None = Field(default=None, alias="SMTP_USERNAME")
    password: SecretStr | None = Field(default=None, alias="SMTP_PASSWORD")
    from_email: str | None = Field(default=None, alias="SMTP_FROM_EMAIL")
    tls_mode: Literal["starttls", "tls", "none"] = Field(default="starttls", alias="SMTP_TLS_MODE")
    tls_ca_file: Path | None = Field(default=None, alias="SMTP_TLS_CA_FILE")


class GoogleSettings(Group):
    """The OAuth client that people connect their Google accounts with, and where Google is."""

    client_id: str | None = Field(default=None, alias="GOOGLE_CLIENT_ID")
    client_secret: SecretStr | None = Field(default=None, alias="GOOGLE_CLIENT_SECRET")
    redirect_uri: Address | None = Field(default=None, alias="GOOGLE_REDIRECT_URI")
    authorize_url: Address = Field(
        default="https://accounts.google.com/o/oauth2/v2/auth", alias="GOOGLE_OAUTH_AUTHORIZE_URL"
    )
    token_url: Address = Field(default="https://oauth2.googleapis.com/token", alias="GOOGLE_OAUTH_TOKEN_URL")
    revoke_url: Address = Field(default="https://oauth2.googleapis.com/revoke", alias="GOOGLE_OAUTH_REVOKE_URL")
    userinfo_url: Address = Field(
        default="https://openidconnect.googleapis.com/v1/userinfo", alias="GOOGLE_OAUTH_USERINFO_URL"
    )
    certs_url: Address = Field(default="https://www.googleapis.com/oauth2/v1/certs", alias="GOOGLE_OAUTH_CERTS_URL")
    gmail_base_url: Address = Field(default="https://gmail.googleapis.com", alias="GMAIL_API_BASE_URL")


class SlackSettings(Group):
    """Slack: the default incoming webhook, the app's secrets, who answers there, and where Slack's API is."""

    webhook_url: SecretStr | None = Field(default=None, alias="SLACK_WEBHOOK_URL")
    bot_token: SecretStr | None = Field(default=None, alias="SLACK_BOT_TOKEN")
    signing_secret: SecretStr | None = Field(default=None, alias="SLACK_SIGNING_SECRET")
    app_token: SecretStr | None = Field(default=None, alias="SLACK_APP_TOKEN")
    api_base_url: Address = Field(default="https://slack.com/api/", alias="SLACK_API_BASE_URL")
    agent: str = Field(default="assistant", alias="SLACK_AGENT", max_length=100)


class FileSettings(Group):
    """Files: the largest one, and what all files of one user may take together, in megabytes (1,000,000 bytes)."""

    max_mb: Count = Field(default=25, alias="SIXLANE_FILE_MAX_MB", le=1000)
    quota_mb: Count = Field(default=500, alias="SIXLANE_FILE_QUOTA_MB")


class AgentRunSettings(Group):
    """The agent runner: how long a request waits for others of the same user, and how long a run may execute."""

    lock_seconds: Seconds = Field(default=5, alias="AGENT_LOCK_TIMEOUT")
    run_seconds: Seconds = Field(default=600, alias="AGENT_RUN_TIMEOUT")


class DeliverySettings(Group):
    """Notifications: how long one attempt may take, and for how many days they are kept."""

    timeout_seconds: Seconds = Field(default=15, alias="SIXLANE_DELIVERY_TIMEOUT_SECONDS")
    days: Count = Field(default=90, alias="SIXLANE_DELIVERY_RETENTION_DAYS")


class RateSettings(Group):
    """Requests per time, as in `600/minute`. `auto` limits in production only."""

    mode: Literal["auto", "on", "off"] = Field(default="auto", alias="SIXLANE_RATE_LIMITS")
    per_key: Rate = Field(default="1200/minute", alias="SIXLANE_RATE_PER_KEY")
    per_user: Rate = Field(default="600/minute", alias="SIXLANE_RATE_PER_USER")
    per_trigger: Rate = Field(default="1200/minute", alias="SIXLANE_RATE_PER_TRIGGER")
    per_address: Rate = Field(default="300/minute", alias="SIXLANE_RATE_PER_ADDRESS")


class RetentionSettings(Group):
    """Days that events and the tool journal are kept after a run has ended, and occurrences after their due time."""

    event_days: Count = Field(default=7, alias="SIXLANE_EVENT_RETENTION_DAYS")
    journal_days: Count = Field(default=90, alias="SIXLANE_JOURNAL_RETENTION_DAYS")
    occurrence_days: Count = Field(default=90, alias="SIXLANE_OCCURRENCE_RETENTION_DAYS")
    completion_days: Count = Field(default=30, alias="SIXLANE_COMPLETION_RETENTION_DAYS")


class LogSettings(Group):
    """Log level and form; the form follows the mode unless it is set: json in production, console on a desk."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", alias="SIXLANE_LOG_LEVEL")
    format: Literal["json", "console"] | None = Field(default=None, alias="SIXLANE_LOG_FORMAT")


def project_root() -> Path | None:
    """The clone this code runs from, or None when it was installed as a package."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else None


def default_data_folder() -> Path:
    """The platform's user data folder, one per clone, so that two clones never share a ledger."""
    root = project_root()
    name = hashlib.sha256(str(root).encode()).hexdigest()[:12] if root else "default"
    return platformdirs.user_data_path("sixlane", appauthor=False) / name


class Settings(BaseSettings):
    """All settings, frozen, in groups. Build them with `load_settings`: the class itself reads nothing."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True
    )

    env: Literal["local", "production"] = Field(default="local", alias="SIXLANE_ENV")
    data: Folder = Field(default_factory=default_data_folder, alias="SIXLANE_DATA")
    server: ServerSettings = Field(default_factory=ServerSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    models: ModelSettings = Field(default_factory=ModelSettings)
    agents: AgentSettings = Field(default_factory=AgentSettings)
    secrets: SecretSettings = Field(default_factory=SecretSettings)
    outbound: OutboundSettings = Field(default_factory=OutboundSettings)
    search: SearchSettings = Field(default_factory=SearchSettings)
    runs: RunSettings = Field(default_factory=RunSettings)
    schedules: ScheduleSettings = Field(default_factory=ScheduleSettings)
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings)
    mail: MailSettings = Field(default_factory=MailSettings)
    google: GoogleSettings = Field(default_factory=GoogleSettings)
    slack: SlackSettings = Field(default_factory=SlackSettings)
    files: FileSettings = Field(default_factory=FileSettings)
    agent_runs: AgentRunSettings = Field(default_factory=AgentRunSettings)
    deliveries: DeliverySettings = Field(default_factory=DeliverySettings)
    rates: RateSettings = Field(default_factory=RateSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    logs: LogSettings = Field(default_factory=LogSettings)
    warnings: tuple[str, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  (the signature is the library's)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` has gathered counts, so that a stray variable named DATABASE changes nothing."""
        return (init_settings,)

    @property
    def production(self) -> bool:
        """Whether the rules for a server that others reach apply."""
        return self.env == "production"

    @property
    def database_url(self) -> str | None:
        """The PostgreSQL address with its password, or None for the embedded server."""
        return self.database.url.get_secret_value() if self.database.url else None

    @property
    def redis_url(self) -> str | None:
        """The Redis address with its password, or None for the embedded server."""
        return self.redis.url.get_secret_value() if self.redis.url else None

    @property
    def arq_redis_url(self) -> str | None:
        """The address of the doorbell's Redis: `redis_url` unless it was set apart."""
        return self.redis.arq_url.get_secret_value() if self.redis.arq_url else None


def variables() -> dict[str, tuple[str | None, str]]:
    """Every variable: the group (None at the top) and field that it fills."""
    found: dict[str, tuple[str | None, str]] = {}
    for name, field in Settings.model_fields.items():
        if field.alias:
            found[field.alias] = (None, name)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            found |= {inner.alias: (name, at) for at, inner in field.annotation.model_fields.items() if inner.alias}
    return found


def secret_variables() -> frozenset[str]:
    """The variables whose value may also come from the file that NAME_FILE names."""
    groups = {name: field.annotation for name, field in Settings.model_fields.items()}
    secret: set[str] = set()
    for variable, (group, name) in variables().items():
        inner = groups[group] if group else None
        if isinstance(inner, type) and issubclass(inner, Group) and "SecretStr" in str(inner.model_fields[name]):
            secret.add(variable)
    return frozenset(secret)
