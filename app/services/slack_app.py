"""The Slack app of a process: what comes in, what goes out, and the socket between, where there is one."""

from dataclasses import dataclass

from app.integrations.slack_socket import SlackSocket
from app.services.slack_inbox import SlackInbox
from app.services.slack_people import Slack
from app.services.slack_poster import SlackPoster


@dataclass(frozen=True)
class SlackApp:
    """What a process does about Slack: takes in what comes, and posts what is due."""

    slack: Slack
    inbox: SlackInbox
    poster: SlackPoster
    socket: SlackSocket | None = None

    def begin(self) -> None:
        """Begin to post, and with an app token to listen: for a worker."""
        self.slack.spawn(self.poster.run(), "slack posts")
        if self.socket is not None:
            self.slack.spawn(self.socket.run(), "slack socket")

    def close(self) -> None:
        """Take nothing any more."""
        self.poster.close()
        if self.socket is not None:
            self.socket.close()

    async def drain(self, seconds: float) -> None:
        """Close, and give what is on its way that much time."""
        self.close()
        await self.poster.drain(seconds)

    async def aclose(self) -> None:
        """Close the connections to Slack."""
        await self.slack.api.aclose()
