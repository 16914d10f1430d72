"""Google with its mailboxes on loopback, and accounts that are connected already."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from support.gmail_box import Box
from support.gmail_server import GmailServer
from support.google_server import GoogleServer, google_server, subject_of

from app.database.connection import Database
from app.integrations.vault import Vault
from app.models.connection import MAIL_SCOPES, MailScope, google_scopes
from app.models.ids import new_id
from app.services.google_tokens import sealed_tokens


@dataclass
class Post:
    """The OAuth server and the mailboxes that its tokens open."""

    google: GoogleServer
    gmail: GmailServer

    def box(self, account: str) -> Box:
        """The mailbox of an account."""
        return self.gmail.box(account)

    def reset(self) -> None:
        """Nothing goes wrong any more, and nothing has left."""
        self.gmail.faults.clear()
        self.gmail.sent.clear()
        self.gmail.asked.clear()
        self.google.faults.clear()
        self.google.counts.clear()


@contextmanager
def post_office() -> Generator[Post]:
    """Both in a thread of this process, at one address."""
    with google_server() as google:
        gmail = GmailServer(google.whose)
        google.mount("/gmail/", gmail)
        yield Post(google, gmail)


async def link(
    post: Post,
    database: Database,
    vault: Vault,
    workspace_id: UUID,
    user_id: UUID,
    account: str,
    scopes: Iterable[MailScope] = MAIL_SCOPES,
) -> None:
    """Connect an account to a user, as the browser's way would have."""
    grant = post.google.give(account, google_scopes(scopes))
    async with database.begin(workspace_id) as unit:
        known = await unit.connections.of_user(user_id)
        row_id = known.id if known else new_id()
        values = {"id": row_id, "user_id": user_id, "subject": subject_of(account), "account": account}
        values |= {"scopes": list(grant.scopes or ()), **sealed_tokens(vault, workspace_id, row_id, grant)}
        await unit.connections.put(values, access_seconds=3600)
