"""Every channel, by one line each: a file here and an entry in this tuple."""

from collections.abc import Mapping
from types import MappingProxyType

from app.channels.channel import Channel, Means
from app.channels.email import EmailChannel
from app.channels.slack import SlackChannel
from app.channels.webhook import WebhookChannel
from app.models.delivery import Message, Rendered

CHANNELS: tuple[type[Channel], ...] = (EmailChannel, SlackChannel, WebhookChannel)


def open_channels(means: Means) -> Mapping[str, Channel]:
    """The channels by name, with what they send by."""
    return MappingProxyType({channel.name: channel(means) for channel in CHANNELS})


def form_of(name: str, message: Message) -> Rendered:
    """The message as that channel sends it."""
    return next(channel for channel in CHANNELS if channel.name == name).render(message)
