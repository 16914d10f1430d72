"""The demo model's rule for documents: what patterns find in them, told as data or in a sentence. It judges nothing."""

import re
from typing import Any

from pydantic_ai.messages import ModelMessage, ToolCallPart
from pydantic_ai.models.function import AgentInfo

from app.agents.demo_turn import LABEL, Move, documents_of, last_turn

_BODY = re.compile(r"<document\b[^>]*>(.*)</document>", re.DOTALL)
_MONTHS = tuple(
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
_DATE = re.compile(
    r"\b(?:(\d{4})-(\d\d)-(\d\d)"
    rf"|(\d{{1,2}})\.?\s+({'|'.join(_MONTHS)})\s+(\d{{4}})"
    r"|(\d{1,2})\.(\d{1,2})\.(\d{4}))\b"
)
_CURRENCY = r"(EUR|USD|GBP|€|\$|£)"
_MONEY = re.compile(rf"(?:{_CURRENCY}\s?)?(\d{{1,3}}(?:[.,]\d{{3}})+(?:[.,]\d\d)?|\d+(?:[.,]\d\d)?)(?:\s?{_CURRENCY})?")
_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP"}
_MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_COMPANY = re.compile(
    r"\b(?!Between\b|And\b|The\b)[A-ZÄÖÜ][\w&ÄÖÜäöüß-]*"
    r"(?:[ ][&A-ZÄÖÜ][\w&ÄÖÜäöüß-]*){0,4}[ ](?:GmbH|AG|Ltd|Inc|LLC|SE|KG)\b"
)
_KINDS = ("agreement", "contract", "invoice", "report", "policy", "letter", "offer", "minutes", "receipt")
_GERMAN = re.compile(r"\b(?:und|der|die|das|nicht|mit|ist)\b", re.IGNORECASE)
_ENGLISH = re.compile(r"\b(?:and|the|of|not|with|is)\b", re.IGNORECASE)
_MOST = 20


def rule(messages: list[ModelMessage], info: AgentInfo) -> Move | None:
    """Extract, hold against a policy, or tell what came, once there is a document."""
    texts = [found.group(1).strip() for piece in documents_of(messages) if (found := _BODY.search(piece))]
    if not texts or last_turn(messages).results:
        return None
    text = texts[0]
    if info.allow_text_output:
        return _told(text)
    output = info.output_tools[0]
    wanted = output.parameters_json_schema.get("properties", {})
    if "findings" in wanted:
        return [ToolCallPart(output.name, _assessed(text, last_turn(messages).prompt))]
    if "document_type" in wanted:
        return [ToolCallPart(output.name, _extracted(text))]
    return None


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _title(text: str) -> str:
    return _lines(text)[0].lstrip("# ")[:200] if _lines(text) else ""


def _told(text: str) -> str:
    data = _extracted(text)
    dates = ", ".join(date["date"] for date in data["dates"]) or "none"
    amounts = ", ".join(f"{one['amount']} {one['currency']}".strip() for one in data["amounts"]) or "none"
    return f'{LABEL} the document is "{data["title"]}", {len(text.split())} words. Dates: {dates}. Amounts: {amounts}.'


def _extracted(text: str) -> dict[str, Any]:
    title = _title(text)
    kind = next((kind for kind in _KINDS if kind in title.lower()), None)
    kind = kind or next((kind for kind in _KINDS if kind in text.lower()), "document")
    german = len(_GERMAN.findall(text)) > len(_ENGLISH.findall(text))
    return {
        "title": title,
        "document_type": kind,
        "language": "de" if german else "en",
        "summary": f"{LABEL} found by fixed patterns, nothing is understood. It begins: {' '.join(text.split())[:160]}",
        "dates": _dates(text),
        "parties": [{"name": name, "role": ""} for name in dict.fromkeys(_COMPANY.findall(text))][:_MOST],
        "amounts": _amounts(text),
        "fields": [{"name": "e-mail", "value": mail} for mail in dict.fromkeys(_MAIL.findall(text))][:_MOST],
    }


def _dates(text: str) -> list[dict[str, str]]:
    found: dict[str, str] = {}
    for line in _lines(text):
        for match in _DATE.finditer(line):
            year, month, day, day2, name, year2, day3, month3, year3 = match.groups()
            if name:
                year, month, day = year2, str(_MONTHS.index(name) + 1), day2
            elif year3:
                year, month, day = year3, month3, day3
            if 1 <= int(month) <= 12 and 1 <= int(day) <= 31:
                found.setdefault(f"{year}-{int(month):02}-{int(day):02}", line.strip("|# ")[:200])
    return [{"date": date, "meaning": line} for date, line in found.items()][:_MOST]


def _amounts(text: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for line in _lines(text):
        for match in _MONEY.finditer(line):
            before, number, after = match.groups()
            sign = before or after
            if sign:
                meaning = line[: match.start()].strip("|# ").replace("|", "").strip()[:200]
                found.append({"amount": _plain(number), "currency": _SIGNS.get(sign, sign), "meaning": meaning})
    return found[:_MOST]


def _plain(number: str) -> str:
    """A number as a decimal: the last separator parts the cents if two digits follow it."""
    whole, cents = (number[:-3], number[-2:]) if re.search(r"[.,]\d\d$", number) else (number, "")
    whole = re.sub(r"[.,]", "", whole)
    return f"{whole}.{cents}" if cents else whole


def _assessed(text: str, prompt: str) -> dict[str, Any]:
    policy = prompt.partition("Policy:\n")[2] or prompt
    rules = [line.lstrip("-*0123456789. ") for line in _lines(policy)][:_MOST]
    findings = [_finding(rule, text) for rule in rules if rule]
    return {
        "verdict": "unclear",
        "summary": f"{LABEL} passages that share words with the rules are quoted; a demo model does not judge.",
        "findings": findings,
    }


def _finding(rule: str, text: str) -> dict[str, Any]:
    words = _stems(rule)
    scored = [(len(words & _stems(line)), line) for line in _lines(text)]
    score, line = max(scored, key=lambda pair: pair[0], default=(0, ""))
    said = "This passage shares the most words with the rule." if score else "Nothing in the document shares its words."
    return {
        "rule": rule[:500],
        "verdict": "unclear",
        "severity": "low",
        "explanation": f"{LABEL} {said}",
        "quote": line[:1000] if score else "",
    }


def _stems(text: str) -> set[str]:
    return {word[:5] for word in re.findall(r"[^\W\d_]{4,}", text.lower())}
