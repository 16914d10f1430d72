"""The demo model's rule for research: split the topic at its commas, read what a search finds, quote, and put together.

Nothing here is known or made up: every statement is a sentence of a source that was read, with its reference.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_ai.messages import ModelMessage, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo

from app.agents.corpus import stems
from app.agents.demo_turn import LABEL, Move, last_turn

_PLANNED = re.compile(r"\n\n\(Plan the research of this topic: at most (\d+) parts\.\)\s*$")
_SPLIT = re.compile(r"[,;:?!.\n]+|\b(?:and|or|versus|vs|with|against)\b", re.IGNORECASE)
_LEAD = re.compile(
    r"^(?:please|compare|research|explain|describe|find out|what|how|why|about|both|the|is|are|do|does)\b",
    re.IGNORECASE,
)
_FINDING = re.compile(r'<finding part="([^"]*)">(.*?)</finding>', re.DOTALL)
_CITED = re.compile(r"^- (.+?) \[(src-[0-9a-z]+(?:, src-[0-9a-z]+)*)\]$", re.MULTILINE)
_MISSING = re.compile(r"^- not found: (.+)$", re.MULTILINE)
_SOURCE = re.compile(r'<source ref="(src-[0-9a-z]+)"[^>]*>(.*?)</source>', re.DOTALL)
_ADDRESS = re.compile(r"^https?://\S+$", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_READ = 2
_QUOTED = 4


def rule(messages: list[ModelMessage], info: AgentInfo) -> Move | None:
    """Take part in research as planner, researcher or writer, told by what the answer must look like."""
    outputs = {tool.name: tool for tool in info.output_tools}
    turn = last_turn(messages)
    if "plan" in outputs:
        return [ToolCallPart("plan", {"parts": _parts(turn.prompt)})]
    if "report" in outputs:
        return [ToolCallPart("report", _report(turn.prompt))]
    for tool in outputs.values():
        if {"statements", "gaps"} <= set(tool.parameters_json_schema.get("properties", {})):
            return _research(tool.name, turn.prompt, turn.results, {each.name for each in info.function_tools})
    return None


def _parts(prompt: str) -> list[dict[str, str]]:
    asked = _PLANNED.search(prompt)
    topic = _PLANNED.sub("", prompt)
    pieces: dict[str, None] = {}
    for piece in _SPLIT.split(topic):
        words = piece.strip()
        while (shorter := _LEAD.sub("", words).strip()) != words:
            words = shorter
        if stems(words):
            pieces.setdefault(words)
    found = list(pieces)[: int(asked.group(1)) if asked else 4] or [" ".join(topic.split())]
    return [{"title": piece[:200], "question": piece[:2000]} for piece in found]


def _research(output: str, question: str, results: Sequence[ToolReturnPart], tools: set[str]) -> list[ToolCallPart]:
    if not results:
        searches = [name for name in ("search_corpus", "search_web") if name in tools]
        if searches:
            return [ToolCallPart(name, {"query": question[:400]}) for name in searches]
    if "read_source" in tools and not any(part.tool_name == "read_source" for part in results):
        found = list(dict.fromkeys(address for part in results for address in _addresses(part)))[:_READ]
        if found:
            return [ToolCallPart("read_source", {"source": address}) for address in found]
    statements = [said for part in results if part.tool_name == "read_source" for said in _quotes(part, question)]
    gaps = [] if statements else [f"{LABEL} no source says anything about this question."]
    return [ToolCallPart(output, {"statements": statements[: 2 * _QUOTED], "gaps": gaps})]


def _addresses(part: ToolReturnPart) -> list[str]:
    content: Any = part.content
    if isinstance(content, list):
        return [str(row["source"]) for row in content if isinstance(row, dict) and "source" in row]  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    return _ADDRESS.findall(str(content)) if part.tool_name == "search_web" else []


def _quotes(part: ToolReturnPart, question: str) -> list[dict[str, Any]]:
    wanted = stems(question)
    quotes: list[dict[str, Any]] = []
    for ref, text in _SOURCE.findall(str(part.content)):
        sentences = [" ".join(one.split()) for one in _SENTENCE.split(text.strip()) if len(one) > 20]
        telling = [one for one in sentences if wanted & stems(one)] or sentences
        quotes += [{"text": one[:1000], "refs": [ref]} for one in telling[:_QUOTED]]
    return quotes


def _report(prompt: str) -> dict[str, Any]:
    sections: list[dict[str, str]] = []
    missing: list[str] = []
    for title, body in _FINDING.findall(prompt):
        said = [f"{text} [{refs}]" for text, refs in _CITED.findall(body)]
        missing += _MISSING.findall(body)
        if said:
            sections.append({"heading": title, "text": " ".join(said)})
    return {
        "title": f"Demo report: {_joined(one['heading'] for one in sections)}"[:200],
        "summary": f"{LABEL} these are sentences of the sources, put together by rules. {_first(sections)}",
        "sections": sections,
        "open_questions": missing[:20],
    }


def _first(sections: Sequence[dict[str, str]]) -> str:
    """The first sentence of every section, with its reference."""
    firsts = (re.match(r".+?\[src-[^\]]+\]", one["text"], re.DOTALL) for one in sections)
    return " ".join(found.group() for found in firsts if found)


def _joined(names: Iterable[str]) -> str:
    *most, last = [*names]
    return f"{', '.join(most)} and {last}" if most else last
