"""Which model runs use by default, and which variable said so."""

from typing import NamedTuple

from app.config.settings import ModelSettings

DEMO = "demo"

PROVIDER_DEFAULTS = {
    "OPENAI_API_KEY": "openai:gpt-6.1-terra",  # the middle tier: good with tools, and its price is known
    "ANTHROPIC_API_KEY": "anthropic:claude-haiku-5-5",
    "OLLAMA_BASE_URL": "ollama:llama3.2",
}
"""The model that is used when only the provider's variable is set, in order of preference."""


class ModelChoice(NamedTuple):
    """A model by its name, and the variable that chose it."""

    name: str
    source: str


def choose_model(models: ModelSettings) -> ModelChoice:
    """Return DEFAULT_MODEL, else the first provider with a key, else the demo model; SIXLANE_DEMO goes before all."""
    if models.demo:
        return ModelChoice(DEMO, "SIXLANE_DEMO")
    if models.default:
        return ModelChoice(models.default, "DEFAULT_MODEL")
    given = {
        "OPENAI_API_KEY": models.openai_api_key,
        "ANTHROPIC_API_KEY": models.anthropic_api_key,
        "OLLAMA_BASE_URL": models.ollama_base_url,
    }
    for variable, model in PROVIDER_DEFAULTS.items():
        if given[variable]:
            return ModelChoice(model, variable)
    return ModelChoice(DEMO, "no model key is set")


def missing_variable(models: ModelSettings, name: str) -> str | None:
    """Return the variable without which the model cannot be called, or None when nothing is missing."""
    provider = name.partition(":")[0] if ":" in name else ""
    if provider in {"openai", "openai-chat", "openai-responses"}:
        return None if models.openai_api_key or models.openai_base_url else "OPENAI_API_KEY"
    if provider == "anthropic":
        return None if models.anthropic_api_key else "ANTHROPIC_API_KEY"
    return "OLLAMA_BASE_URL" if provider == "ollama" and not models.ollama_base_url else None
