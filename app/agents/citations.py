"""Citations: references to what was really fetched, in a model's text and in the report that people read."""

import hashlib
import re
from collections.abc import Collection, Iterable

_REF = re.compile(r"src-[0-9A-Za-z]+")
_BRACKET = re.compile(r"\[\s*(src-[0-9A-Za-z]+(?:\s*[,;]?\s*src-[0-9A-Za-z]+)*)\s*\]")
_NUMBER = re.compile(r"\[\d{1,3}\](?!\()")
_MARKUP = re.compile(r"\]\(|\]:\s*\S*//|<(?:img|a|iframe)\b", re.IGNORECASE)
_LINK = re.compile(r"\b(?:https?://|www\.)[^\s<>()\"'`\]]+", re.IGNORECASE)


def ref_of(address: str) -> str:
    """The short reference of an address (a URL, `corpus:…` or `file:…`): the same wherever it is read."""
    return f"src-{hashlib.sha256(address.encode()).hexdigest()[:8]}"


def cited(texts: Iterable[str]) -> list[str]:
    """The references in some texts, each once, in the order of first mention."""
    return list(dict.fromkeys(ref for text in texts for ref in _REF.findall(text)))


def complaint(texts: Collection[str], known: Collection[str], addresses: Collection[str]) -> str | None:
    """What is wrong with the citations of some texts, told to whoever wrote them; None where all is right.

    Every reference must be one of `known`, every address one of `addresses`, and numbers are not given by hand.
    """
    invented = [ref for ref in cited(texts) if ref not in known]
    if invented:
        listed = ", ".join(sorted(known)) or "none: nothing was read"
        return f"{', '.join(invented)} was never fetched. Cite only what was read. References: {listed}."
    whole = "\n".join(texts)
    for link in (found.rstrip(".,;:!?*_") for found in _LINK.findall(whole)):
        if link not in addresses and f"{link}/" not in addresses:
            return f"The address {link} was never fetched. Cite by reference, like [{next(iter(known), 'src-…')}]."
    if _MARKUP.search(whole):
        return "Write no links and no pictures: cite by reference, in brackets."
    if _NUMBER.search(whole):
        return "Do not number citations: write the reference in brackets, and numbers are given afterwards."
    return None


def numbered(text: str, numbers: dict[str, int]) -> str:
    """The text with `[src-…]` turned into `[1]`, `[2]` …; what has no number loses its brackets."""

    def replace(found: re.Match[str]) -> str:
        known = [numbers[ref] for ref in _REF.findall(found.group()) if ref in numbers]
        return "".join(f"[{number}]" for number in dict.fromkeys(known))

    return _REF.sub(replace, _BRACKET.sub(replace, text))
