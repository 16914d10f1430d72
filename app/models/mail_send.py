"""A mail that a run sends: the row that is there before the mail is, so that no repeat makes a second one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

SendStatus = Literal["sending", "sent", "failed"]


@dataclass(frozen=True, slots=True)
class MailSend:
    """A row of `mail_sends`. `draft_id` is set before the draft is sent, and only that draft ever is.

    `sending` may mean that it has left: whoever finds it looks into the mailbox before anything else.
    """

    workspace_id: UUID
    id: UUID
    user_id: UUID
    run_id: UUID
    effect_key: str
    account: str
    message_id: str
    draft_id: str | None
    status: SendStatus
    created_at: datetime
    sent_at: datetime | None
