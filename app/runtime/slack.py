"""The Slack app of a process, as the settings say."""

from dataclasses import dataclass

from app.integrations.slack_api import SlackApi
from app.integrations.slack_socket import SlackSocket
from app.runtime.google import google_options
from app.runtime.parts import Runtime
from app.runtime.workshop import plain
from app.services.slack_inbox import SlackInbox
from app.services.slack_live import SlackLive
from app.services.slack_people import Slack, SlackOptions
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

    async def aclose(self) -> None:
        """Close the connections to Slack."""
        await self.slack.api.aclose()


def slack_app(runtime: Runtime) -> SlackApp:
    """The parts; opens nothing. The process executes runs too."""
    settings = runtime.settings
    slack = Slack(
        database=runtime.database,
        hub=runtime.hub,
        api=SlackApi(settings.slack.api_base_url, plain(settings.slack.bot_token)),
        options=SlackOptions(
            signing_secret=plain(settings.slack.signing_secret),
            app_token=plain(settings.slack.app_token),
            agent=settings.slack.agent,
            production=settings.production,
        ),
        spawn=runtime.tasks.start,
        vault=runtime.vault,
        google=google_options(settings),
        tools=runtime.registry,
    )
    inbox = SlackInbox(slack, SlackLive(slack))
    token = slack.options.app_token
    socket = SlackSocket(slack.api, token, inbox.take_envelope, slack.spawn) if token and slack.api.ready else None
    return SlackApp(slack, inbox, SlackPoster(slack), socket)
