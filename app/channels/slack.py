"""Slack: a message of Markdown in which nothing acts: no mentions, no previews of links."""

import re
from typing import ClassVar

from app.channels.channel import Means, one_line
from app.models.delivery import Message, Outcome, Rendered

MOST_TEXT = 12_000
"""What Slack takes in a markdown block."""

_HALF = re.compile(r"&[a-z]{0,3}$")


class SlackChannel:
    """Posts through an incoming webhook, or as the bot."""

    name: ClassVar[str] = "slack"

    def __init__(self, means: Means) -> None:
        self._slack = means.slack

    def ready(self, to: str) -> bool:
        """Whether there is a webhook, or a token for the channel."""
        return self._slack.ready(to)

    @staticmethod
    def render(message: Message) -> Rendered:
        """The JSON that is posted; longer texts are cut and lead to the run."""
        subject = escaped(one_line(message.subject, 200))
        text = _cut(f"**{subject}**\n\n{escaped(message.markdown)}", message.url)
        body = {
            "text": subject,
            "blocks": [{"type": "markdown", "text": text}],
            "unfurl_links": False,
            "unfurl_media": False,
        }
        return Rendered(body=body)

    async def send(self, to: str, message: Message, rendered: Rendered) -> Outcome:
        """Post it once. Slack does not know a message again, so one that may have arrived is not repeated."""
        return await self._slack.send(to, rendered.body or {}, message.key)


def escaped(text: str) -> str:
    """The text with the three characters replaced that begin mentions, commands and links in Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, url: str | None) -> str:
    if len(text) <= MOST_TEXT:
        return text
    ending = f"…\n\n{escaped(url)}" if url else "…"
    return _HALF.sub("", text[: MOST_TEXT - len(ending)]) + ending
