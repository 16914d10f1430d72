"""What is said in the benchmark: a prompt, its answer, and a history of any length."""

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

PROMPT = (
    "We are planning a week in France by train next spring, two adults and a child of seven who gets bored in museums. "
    "Which two cities would you choose besides the capital, and why?"
)
ANSWER = (
    "I would take Lyon and Nantes: both are two hours from Paris, one has puppet theatres and a park with a free zoo, "
    "the other a mechanical elephant that carries visitors along the river."
)


def history(length: int) -> list[ModelMessage]:
    """Alternating prompts and answers of 200 characters, as the benchmark writes them into Sixlane's log."""
    text = "lorem ipsum dolor sit amet " * 7 + "consectetur"
    made: list[ModelMessage] = []
    for place in range(length):
        prompt, answer = ModelRequest([UserPromptPart(text)]), ModelResponse([TextPart(text)], model_name="bench")
        made.append(answer if place % 2 else prompt)
    return made


HOOK_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
"""What the benchmark's webhooks are signed with."""
