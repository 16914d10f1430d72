"""What a tool call may do: one table from the kind of effect and the state of the run to allow, ask or deny.

It is asked when a call is about to start, on the validated arguments, and again when a decision has been made. The
model has no say in any of it: what counts is what the run has read, who is there, and what a person has allowed.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from app.agents.context import AgentContext, Policy
from app.integrations.addresses import Place, parse
from app.models.client_tool import ClientApproval
from app.models.context import ContextChanges
from app.models.errors import InvalidInput

Effect = Literal[
    "read", "draft", "send", "label", "fetch", "post", "remember", "propose", "save", "suggest", "state", "client"
]
Presence = Literal["present", "begun", "unattended"]
"""A person takes part; a person began it and went away; nobody did, as with a schedule or a webhook."""

Taint = Literal["clean", "web", "mail"]
"""Nobody else's text is in the run; some is; text from the person's own mailbox is, which is worth stealing."""

Standing = Literal["granted", "named", "answered", "unknown", "ask", "deny"]
"""How the aim of a call came to be: allowed beforehand, written by the person, taken from the mail that is answered,
or the model's own. `ask` and `deny` are what a person has said of a target."""

MANY = 20
"""More mails than this are not labelled at once on the word of a run that has read other people's text."""

_BEGUN = frozenset({"message", "continue", "slack", "api", "execute"})
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]*[A-Za-z0-9]")
_LINK = re.compile(r"https?://[^\s<>\"'`]+", re.IGNORECASE)
_HOST = re.compile(r"(?<![\w@.-])[a-z0-9_-]+(?:\.[a-z0-9_-]+)*(?![\w@-])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a call, and why, in a sentence that people and the model are shown."""

    policy: Policy
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that a verdict depends on. `count` is how many things the call changes."""

    tool: str
    effect: Effect
    presence: Presence
    taint: Taint
    standing: Standing = "unknown"
    count: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: it speaks where everything it names fits; what it leaves empty fits always."""

    effect: Effect
    policy: Policy
    reason: str
    presence: tuple[Presence, ...] = ()
    taint: tuple[Taint, ...] = ()
    standing: tuple[Standing, ...] = ()
    above: int = 0

    def fits(self, now: Situation) -> bool:
        """Whether this line speaks of the situation."""
        return (
            self.effect == now.effect
            and now.count > self.above
            and (not self.presence or now.presence in self.presence)
            and (not self.taint or now.taint in self.taint)
            and (not self.standing or now.standing in self.standing)
        )


_HERE: tuple[Presence, ...] = ("present",)
_ASKABLE: tuple[Presence, ...] = ("present", "begun")
_CLEAN: tuple[Taint, ...] = ("clean",)
_TAINTED: tuple[Taint, ...] = ("web", "mail")

_STRANGER = (
    "The run has read text of other people, and this recipient is neither the person's own word nor part of the mail "
    "that is answered. The person can write the address in a message, and the mail is asked about then."
)
_UNLISTED = "Nobody is there to be asked, and the task does not list every recipient under `grants.send_to`."
_BY_LINK = "An address can carry out what the run has read, and the person has not written this one."

TABLE: tuple[Row, ...] = (
    Row("read", "allow", "Reading changes nothing outside."),
    Row("draft", "allow", "A draft stays in the person's own mailbox."),
    Row("send", "ask", "Mail leaves only after a person has agreed to it.", _HERE, _CLEAN),
    Row("send", "ask", "Mail leaves only after a person has agreed to it.", _HERE, (), ("granted", "named")),
    Row("send", "ask", "It answers mail that other people wrote: check who gets it.", _HERE, (), ("answered",)),
    Row("send", "deny", _STRANGER, _HERE),
    Row("send", "allow", "The task lists every recipient.", (), (), ("granted",)),
    Row("send", "deny", _UNLISTED),
    Row("label", "ask", f"The run has read text of other people, and more than {MANY} mails change.",
        _HERE, _TAINTED, above=MANY),
    Row("label", "allow", "It can be undone.", _HERE),
    Row("label", "allow", "The task may label mail.", (), (), ("granted",)),
    Row("label", "deny", "Nobody is there, and the task does not grant it (`grants.label_mail`)."),
    Row("fetch", "allow", "Nothing in the run came from other people.", (), _CLEAN),
    Row("fetch", "allow", "The person wrote this address, or the operator has listed its host.",
        (), (), ("granted", "named")),
    Row("fetch", "ask", _BY_LINK, _HERE, ("mail",), ("answered",)),
    Row("fetch", "deny", _BY_LINK, (), ("mail",)),
    Row("fetch", "ask", _BY_LINK, _ASKABLE),
    Row("fetch", "deny", _BY_LINK),
    Row("post", "deny", "The person who named this target forbids it.", (), (), ("deny",)),
    Row("post", "ask", "The person who named this target wants to be asked.", (), (), ("ask",)),
    Row("post", "ask", "The run has read text of other people.", _HERE, _TAINTED, ("granted",)),
    Row("post", "allow", "The person who named this target allows it.", (), (), ("granted",)),
    Row("post", "allow", "There is no such target: nothing is sent."),
    Row("remember", "allow", "Nothing in the run came from other people.", (), _CLEAN),
    Row("remember", "ask", "The run has read text of other people, and notes are read in later conversations.",
        _ASKABLE),
    Row("remember", "deny", "The run has read text of other people, notes are read in later conversations, and nobody "
        "is there to be asked."),
    Row("propose", "ask", "A task acts by itself later: a person creates it.", _HERE),
    Row("propose", "deny", "Nobody is there to be asked, and tasks do not make tasks."),
    Row("save", "allow", "A file of the person's own; a run that reads it is tainted by it."),
    Row("suggest", "allow", "The application itself decides whether to make the change."),
    Row("state", "allow", "The application lets its agent change its state.", (), _CLEAN, ("granted",)),
    Row("state", "ask", "A person agrees to changes of the application's state.", _ASKABLE),
    Row("state", "deny", "Nobody is there to be asked."),
    Row("client", "ask", "The application wants a person to agree to this call.", _ASKABLE, (), ("ask",)),
    Row("client", "allow", "The application carries this out at any time.", (), (), ("granted",)),
    Row("client", "allow", "Nothing in the run came from other people.", (), _CLEAN, ("unknown",)),
    Row("client", "ask", "The run has read text of other people.", _ASKABLE),
    Row("client", "deny", "Nobody is there to be asked."),
)  # fmt: skip
"""The first line that fits decides. Where none does, the call is denied."""


def decide(now: Situation) -> Verdict:
    """The verdict on a call."""
    for row in TABLE:
        if row.fits(now):
            return Verdict(row.policy, row.reason)
    return Verdict("deny", "No rule allows it.")


def verdict_of(said: "Policy | Verdict") -> Verdict:
    """A verdict from what a tool's policy says."""
    return said if isinstance(said, Verdict) else Verdict(said)


# What tools ask


def of_mail_send(context: AgentContext, recipients: Collection[str], *, answered: Collection[str] = ()) -> Verdict:
    """Whether mail may go to all of these bare addresses.

    `answered` are those that take part in the mail being answered, as the mailbox has them and not as the model says.
    """
    return decide(_now(context, "mail_send", "send", _standing_of(context, recipients, answered)))


def of_mail_label(context: AgentContext, count: int) -> Verdict:
    """Whether so many mails may be labelled or archived."""
    return decide(_now(context, "mail_label", "label", "granted" if context.grants.label_mail else "unknown", count))


def of_draft(context: AgentContext) -> Verdict:
    """Whether a draft may be put into the mailbox."""
    return decide(_now(context, "mail_draft", "draft"))


def of_fetch(context: AgentContext, url: str) -> Verdict:
    """Whether a page may be asked for at an address that the model names."""
    return decide(_now(context, "web_page", "fetch", _standing_of_link(context, url)))


def of_post(context: AgentContext, target: str) -> Verdict:
    """Whether data may go to a target of the run."""
    known = context.target(target)
    if known is None:
        return decide(_now(context, "http_post", "post"))
    return decide(_now(context, "http_post", "post", "granted" if known.approval == "allow" else known.approval))


def of_note(context: AgentContext, tool: str) -> Verdict:
    """Whether a note of the person may be written or removed."""
    return decide(_now(context, tool, "remember"))


def of_proposal(context: AgentContext) -> Verdict:
    """Whether a task may be proposed."""
    return decide(_now(context, "propose_task", "propose"))


def of_file(context: AgentContext) -> Verdict:
    """Whether a result may be kept among the person's files."""
    return decide(_now(context, "save_file", "save"))


def of_context(context: AgentContext, changes: ContextChanges) -> Verdict:
    """Whether the application's state may be changed, where its conversation says this of changes."""
    if changes == "propose":
        return decide(_now(context, "update_context", "suggest"))
    return decide(_now(context, "update_context", "state", "granted" if changes == "apply" else "ask"))


def of_client_tool(context: AgentContext, tool: str, said: ClientApproval | None) -> Verdict:
    """Whether the application may be asked to carry out one of its tools, of which it says this."""
    standing: Standing = "unknown" if said is None else "granted" if said == "allow" else "ask"
    return decide(_now(context, tool, "client", standing))


def written_by_person(context: AgentContext, url: str) -> bool:
    """Whether the person wrote this very address, in a run whose prompts hold nobody else's words."""
    place = _place(url)
    if place is None or _spoken_for(context):
        return False
    found = (_place(link.rstrip(".,;:!?)]}*_")) for link in _LINK.findall(context.words))
    return any(one is not None and one.url == place.url for one in found)


# The facts


def _now(context: AgentContext, tool: str, effect: Effect, standing: Standing = "unknown", count: int = 1) -> Situation:
    return Situation(tool, effect, presence_of(context), taint_of(context.taint), standing, count)


def presence_of(context: AgentContext) -> Presence:
    """Who could be asked."""
    if context.present:
        return "present"
    return "begun" if context.trigger in _BEGUN and context.pattern not in ("scheduled", "triggered") else "unattended"


def taint_of(sources: Iterable[str]) -> Taint:
    """What kind of foreign text the run holds, the worst of it."""
    found = list(sources)
    if not found:
        return "clean"
    return "mail" if any(source.startswith("mail") for source in found) else "web"


def _spoken_for(context: AgentContext) -> bool:
    """Whether what the run was asked may hold words of other people."""
    return any(source.startswith("slack") for source in context.taint)


def _standing_of(context: AgentContext, recipients: Collection[str], answered: Collection[str]) -> Standing:
    wanted = {address.casefold() for address in recipients}
    if not wanted or not all(address.isascii() for address in recipients):
        return "unknown"
    granted = {address.casefold() for address in context.grants.send_to}
    if wanted <= granted:
        return "granted"
    said = set[str]() if _spoken_for(context) else {one.casefold() for one in _ADDRESS.findall(context.words)}
    if wanted <= granted | said:
        return "named"
    taking_part = {address.casefold() for address in answered}
    return "answered" if wanted <= granted | said | taking_part else "unknown"


def _standing_of_link(context: AgentContext, url: str) -> Standing:
    place = _place(url)
    if place is None:
        return "unknown"
    if context.outbound.listed(place.host):
        return "granted"
    if written_by_person(context, url):
        return "named"
    if _spoken_for(context) or place.host not in _HOST.findall(context.words.lower()):
        return "unknown"
    # The person wrote the host, not the address: enough unless the run holds what a chosen path could carry away.
    return "answered" if taint_of(context.taint) == "mail" else "named"


def _place(url: str) -> Place | None:
    try:
        return parse(url, frozenset())
    except InvalidInput:
        return None
