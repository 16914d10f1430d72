"""The Slack app of a process, as the settings say."""

from dataclasses import replace

from app.integrations.slack_api import SlackApi
from app.integrations.slack_socket import SlackSocket
from app.runtime.google import google_options
from app.runtime.parts import Runtime
from app.runtime.workshop import plain
from app.services.slack_app import SlackApp
from app.services.slack_inbox import SlackInbox
from app.services.slack_live import SlackLive
from app.services.slack_people import Slack, SlackOptions
from app.services.slack_poster import SlackPoster


def with_slack(runtime: Runtime) -> Runtime:
    """The worker's hand in Slack, where there is a bot to speak as; what is settled here is posted at once."""
    if runtime.settings.slack.bot_token is None:
        return runtime
    made, tell = slack_app(runtime), runtime.settler.on_settled

    def settled() -> None:
        made.poster.ring()
        if tell is not None:
            tell()

    runtime.settler.on_settled = settled
    return replace(runtime, slack=made)


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
