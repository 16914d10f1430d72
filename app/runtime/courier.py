"""The courier of a worker: by what it sends, as the settings say."""

from dataclasses import replace

from app.channels.channel import Means
from app.config import Settings
from app.integrations.http import OutboundGuard
from app.integrations.slack import SlackOptions, SlackSender
from app.integrations.smtp import Mailer, MailServer
from app.integrations.vault import Vault
from app.runtime.parts import Runtime
from app.runtime.workshop import plain
from app.services.courier import Courier, CourierOptions
from app.services.deliveries import signing_secret


def with_courier(runtime: Runtime) -> Runtime:
    """The worker's hand for notifications; what is settled here is delivered without waiting for the next tick."""
    settings = runtime.settings
    means = means_of(settings, runtime.guard, runtime.vault)
    home = settings.server.public_url or f"http://localhost:{settings.server.port}"
    options = CourierOptions(base_url=home)
    courier = Courier(runtime.database, means, options, runtime.tasks.start)
    runtime.settler.on_settled = courier.ring
    return replace(runtime, courier=courier)


def means_of(settings: Settings, guard: OutboundGuard, vault: Vault) -> Means:
    """What channels send by. Without a mail server or Slack their messages stay in the inbox."""
    mail, slack, seconds = settings.mail, settings.slack, settings.deliveries.timeout_seconds
    options = SlackOptions(plain(slack.webhook_url), plain(slack.bot_token), slack.api_base_url)
    return Means(
        guard=guard,
        slack=SlackSender(options, guard, seconds=seconds),
        signing_secret=lambda workspace_id: signing_secret(vault, workspace_id),
        mailer=_mailer(settings),
        mail_from=mail.from_email or mail.username or "",
        seconds=seconds,
    )


def _mailer(settings: Settings) -> Mailer | None:
    mail = settings.mail
    if mail.host is None:
        return None
    server = MailServer(
        host=mail.host,
        port=mail.port,
        username=mail.username,
        password=plain(mail.password),
        tls_mode=mail.tls_mode,
        ca_file=mail.tls_ca_file,
        seconds=settings.deliveries.timeout_seconds,
    )
    return Mailer(server)
