"""What an error of a run means: try again later, or end with a reason that a person can act on."""

from dataclasses import dataclass

from pydantic_ai import exceptions as ai

from app.models.errors import AppError, SettingError, Transient


@dataclass(frozen=True, slots=True)
class Permanent:
    """The run cannot succeed as it is: a stable slug, and a sentence that names what to do."""

    code: str
    detail: str


_LIMITS = {
    "request_limit": ("limit_steps", "model requests"),
    "tool_calls_limit": ("limit_tool_calls", "tool calls"),
    "cost_limit": ("limit_cost_usd", "money"),
    "tokens": ("limit_tokens", "tokens"),
}
_TRANSIENT: tuple[tuple[type[ai.ModelAPIError], str], ...] = (
    (ai.ModelRateLimitError, "model_rate_limited"),
    (ai.ModelUnavailableError, "model_unavailable"),
    (ai.ModelServerError, "model_server_error"),
    (ai.ModelRequestTimeout, "model_timeout"),
    (ai.ModelTimeoutError, "model_timeout"),
    (ai.ModelConnectionError, "model_unreachable"),
)
_PERMANENT: tuple[tuple[type[ai.AgentRunError], str, str], ...] = (
    (
        ai.ModelQuotaExceededError,
        "model_quota_exhausted",
        "The account at the model provider has no quota left; add credit there or choose another model.",
    ),
    (
        ai.ModelAuthenticationError,
        "model_auth_failed",
        "The model provider refused the key; check {key}, and that it may use this model.",
    ),
    (
        ai.ModelNotFoundError,
        "model_not_found",
        "The model provider does not know this model or address; check the model's name (DEFAULT_MODEL) and {url}. "
        "Servers that only speak chat completions need openai-chat:, not openai-responses:.",
    ),
    (
        ai.ModelContextWindowExceededError,
        "context_too_long",
        "The conversation is longer than the model can read; start a new one or choose a model with a larger context.",
    ),
    (
        ai.ContentFilterError,
        "content_filtered",
        "The model provider's content filter stopped the answer; word the request differently or choose another model.",
    ),
    (
        ai.OutputTokenLimitExceeded,
        "output_too_long",
        "The answer was cut off at the model's output limit; ask for a shorter one.",
    ),
    (
        ai.IncompleteToolCall,
        "output_too_long",
        "A tool call was cut off at the model's output limit; ask for less at once.",
    ),
    (
        ai.ModelRequestRejectedError,
        "model_request_rejected",
        "The model provider rejected the request.",
    ),
)


def classify(error: BaseException, model: str = "") -> Transient | Permanent:
    """Sort an error of a run of `model` (`provider:name`).

    `Transient` may be tried again, after `retry_after` seconds when the provider asked for that; every other error ends
    the run with the code and sentence of `Permanent`.
    """
    if isinstance(error, Transient):
        return error
    if isinstance(error, ai.FallbackExceptionGroup):
        return _group(error, model)
    if isinstance(error, ai.ModelAPIError):
        return _provider_error(error, model)
    return _run_error(error, model) if isinstance(error, ai.AgentRunError) else _other(error)


def _run_error(error: ai.AgentRunError, model: str) -> Permanent:
    if isinstance(error, ai.UsageLimitExceeded):
        return _limit(error)
    if isinstance(error, ai.RunTimedOut):
        return Permanent("limit_seconds", "The run used all of its time; raise the limit `seconds` to let it go on.")
    return _described(error, model) or Permanent(
        "model_misbehaved", f"The model did not give a usable answer: {_short(error)}"
    )


def _other(error: BaseException) -> Transient | Permanent:
    if isinstance(error, OSError | TimeoutError):
        return Transient(f"A connection was lost: {_short(error)}", code="connection_lost")
    if isinstance(error, SettingError):
        return Permanent("model_not_configured", str(error))
    if isinstance(error, AppError):
        return Permanent(error.code, error.detail)
    if isinstance(error, ai.UserError):
        return Permanent("agent_invalid", f"The agent cannot run as it is defined: {_short(error)}")
    return Permanent("internal_error", "An error inside Sixlane ended the run; the log has the details.")


def _group(group: ai.FallbackExceptionGroup, model: str) -> Transient | Permanent:
    sorted_errors = [classify(error, model) for error in group.exceptions]
    waits = [found for found in sorted_errors if isinstance(found, Transient)]
    if not waits:
        return sorted_errors[0]
    return min(waits, key=lambda found: found.retry_after or 0.0)


def _provider_error(error: ai.ModelAPIError, model: str) -> Transient | Permanent:
    for kind, code in _TRANSIENT:
        if isinstance(error, kind):
            return Transient(_short(error), code=code, retry_after=error.retry_after)
    described = _described(error, model)
    if described is not None:
        return described
    status = error.status_code if isinstance(error, ai.ModelHTTPError) else None
    if status is None or status >= 500 or status in (408, 409, 425):
        return Transient(_short(error), code="model_unavailable", retry_after=error.retry_after)
    return Permanent("model_request_rejected", f"The model provider rejected the request: {_short(error)}")


def _described(error: ai.AgentRunError, model: str) -> Permanent | None:
    for kind, code, sentence in _PERMANENT:
        if isinstance(error, kind):
            provider = "anthropic" if model.startswith("anthropic") else "ollama" if model.startswith("ollama") else ""
            key = {"anthropic": "ANTHROPIC_API_KEY", "ollama": "OLLAMA_BASE_URL"}.get(provider, "OPENAI_API_KEY")
            url = {"anthropic": "ANTHROPIC_BASE_URL", "ollama": "OLLAMA_BASE_URL"}.get(provider, "OPENAI_BASE_URL")
            return Permanent(code, f"{sentence.format(key=key, url=url)} ({_short(error)})")
    return None


def _limit(error: ai.UsageLimitExceeded) -> Permanent:
    for word, (code, what) in _LIMITS.items():
        if word in error.message:
            return Permanent(code, f"The run used all the {what} it may use; raise the limit to let it go on.")
    return Permanent("limit_tokens", _short(error))


def _short(error: BaseException) -> str:
    text = " ".join((str(error) or type(error).__name__).split())
    return text if len(text) <= 300 else f"{text[:297]}..."
