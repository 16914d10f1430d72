"""What is said in the benchmark: one prompt, and a history of any length."""

from functools import cache

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

PROMPT = "What is the capital of France? Please answer in one sentence, and say how sure you are of it. " * 2


@cache
def history(length: int) -> list[ModelMessage]:
    """Alternating prompts and answers of 200 characters, as the benchmark writes them into Sixlane's log."""
    text = "lorem ipsum dolor sit amet " * 7 + "consectetur"
    made: list[ModelMessage] = []
    for place in range(length):
        prompt, answer = ModelRequest([UserPromptPart(text)]), ModelResponse([TextPart(text)], model_name="bench")
        made.append(answer if place % 2 else prompt)
    return made
