"""What a person is told in Slack of a linked account: that it is linked now, and that it has to be linked again."""

from uuid import UUID

from app.channels.slack import escaped
from app.database.unit import Unit
from app.models.ids import new_id
from app.models.slack import PROVIDER, Place
from app.services.slack_answers import connect_button
from app.services.slack_cards import Part, note


async def linked(unit: Unit, user_id: UUID, account: str) -> None:
    """Write to the person, where they are known in Slack, whose mailbox agents may use for them from now on.

    Whoever did not mean it learns of it here, and how to end it.
    """
    said = f"Connected: {escaped(account)}. I work with its mail for you alone. Say `revoke` to end that."
    await _tell(unit, user_id, note(said))


async def lost(unit: Unit, user_id: UUID, account: str) -> None:
    """Write to the person, where they are known in Slack, that Google's permission is gone."""
    said = (
        f"Google lets me use {escaped(account)} no more: the permission was withdrawn or ran out, and I have deleted "
        "it here. Connect it again to go on."
    )
    await _tell(unit, user_id, note(said, connect_button()))


async def _tell(unit: Unit, user_id: UUID, part: Part) -> None:
    identity = await unit.identities.of_user(user_id, PROVIDER)
    team_id, _, slack_id = identity.subject.partition(":") if identity else ("", "", "")
    if slack_id:
        await unit.slack_messages.put("note", new_id(), Place(team_id, slack_id, direct=True), {"parts": [part]})
