"""What a person allows the runs of a task beforehand, because nobody is there to be asked."""

from typing import Annotated

from pydantic import AfterValidator, Field

from app.models.notification import bare_address
from app.models.wire import Inbound

Recipient = Annotated[str, Field(max_length=254), AfterValidator(bare_address)]


class GrantsIn(Inbound):
    """Addresses that unattended runs may send mail to, and whether they may label and archive mail."""

    send_to: Annotated[list[Recipient], Field(max_length=50)] = Field(
        default_factory=list[str], examples=[["team@example.com"]]
    )
    label_mail: bool = False
