"""The agents that work on one document: what they answer with, and how that is held against the document."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.agents.definition import AgentDefinition
from app.agents.papers import Paper, quoted
from app.models.agent import USUAL_OVERRIDES

EXTRACTOR = "document-extractor"
CHECKER = "policy-checker"

Short = Annotated[str, Field(max_length=500)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NamedDate(_Part):
    """A date that the document names."""

    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="ISO 8601, such as 2026-03-12.")]
    meaning: Annotated[Short, Field(description="What happens or holds on that day, in a few words.")]


class Party(_Part):
    """A person or organisation that the document is about."""

    name: Short
    role: Annotated[Short, Field(description="Such as customer, seller or sender; empty when it is not said.")] = ""


class Amount(_Part):
    """A sum of money."""

    amount: Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", description="A decimal number without separators.")]
    currency: Annotated[str, Field(description="ISO 4217, such as EUR; empty when it is not said.", max_length=3)] = ""
    meaning: Short = ""


class NamedValue(_Part):
    """Any other fact by its name, such as a reference number."""

    name: Short
    value: Short


class Extraction(_Part):
    """What stands in a document."""

    title: Short
    document_type: Annotated[Short, Field(description="Such as contract, invoice, report or letter.")]
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$", description="ISO 639-1.")]
    summary: Annotated[str, Field(max_length=2000, description="Two or three sentences.")]
    dates: list[NamedDate] = Field(default_factory=list[NamedDate])
    parties: list[Party] = Field(default_factory=list[Party])
    amounts: list[Amount] = Field(default_factory=list[Amount])
    fields: list[NamedValue] = Field(default_factory=list[NamedValue])


class Finding(_Part):
    """What one rule of the policy means for the document."""

    rule: Short
    verdict: Literal["met", "violated", "unclear"]
    severity: Literal["low", "medium", "high"] = "medium"
    explanation: Annotated[str, Field(max_length=1000)]
    quote: Annotated[
        str,
        Field(
            max_length=2000, description="Words of the document, exactly as they stand there; empty if there are none."
        ),
    ] = ""


class Assessment(_Part):
    """A document held against a policy."""

    verdict: Literal["compliant", "violations", "unclear"]
    summary: Annotated[str, Field(max_length=2000)]
    findings: list[Finding]


DOCUMENT_AGENTS: tuple[AgentDefinition, ...] = (
    AgentDefinition(
        name=EXTRACTOR,
        description="Reads a document and gives what stands in it as data.",
        instructions=(
            "You read one document and hand in what stands in it as data. Take nothing from elsewhere and guess "
            "nothing: what the document does not say is left out. Dates are ISO 8601, amounts decimal numbers."
        ),
        overrides=USUAL_OVERRIDES,
        output_schema=Extraction.model_json_schema(),
    ),
    AgentDefinition(
        name=CHECKER,
        description="Holds a document against a policy and proves each finding with a quote.",
        instructions=(
            "You hold one document against the rules of a policy, rule by rule. Each finding names its rule and proves "
            "itself with a quote, copied letter by letter from the document; where the document says nothing about a "
            "rule, the verdict is unclear and the quote empty. The whole is `violations` if any rule is violated."
        ),
        overrides=USUAL_OVERRIDES,
        output_schema=Assessment.model_json_schema(),
    ),
)


def unproven(agent: str, papers: Sequence[Paper], output: Any) -> list[str]:
    """What the checker quotes although no document says it; each as `place: what`."""
    if agent != CHECKER or not papers:
        return []
    try:
        findings = Assessment.model_validate(output).findings
    except ValidationError:
        return []  # the schema says what is wrong
    return [
        f"findings.{number}.quote: these words do not stand in the document just so: {finding.quote[:200]!r}"
        for number, finding in enumerate(findings)
        if finding.quote and not quoted(papers, finding.quote)
    ]
