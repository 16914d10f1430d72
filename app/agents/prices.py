"""Whether a model's price is known. Where it is not, cost is null and a money budget is refused."""

from genai_prices import Usage, calc_price

_PROVIDERS = {
    "openai": "openai",
    "openai-chat": "openai",
    "openai-responses": "openai",
    "anthropic": "anthropic",
}


def price_known(model: str) -> bool:
    """Whether runs on this model (`provider:name`) have a cost."""
    provider, _, name = model.partition(":")
    if provider not in _PROVIDERS or not name:
        return False
    try:
        calc_price(Usage(input_tokens=1, output_tokens=1), name, provider_id=_PROVIDERS[provider])
    except LookupError:
        return False
    return True
