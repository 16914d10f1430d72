"""Notes of a user, as the tools of one run reach them: each call is a short unit of its own."""

from typing import Any

from app.database.connection import Database
from app.models.run import Run


class Notes:
    """The notes of a run's user: those that all agents share, or, with `agent`, that agent's own.

    `tainted` is live: what the run keeps has read what the run has read, and what it is given taints it.
    """

    def __init__(self, database: Database, run: Run, *, tainted: set[str], agent: str = "") -> None:
        self._database = database
        self._run = run
        self._tainted = tainted
        self._agent = agent

    async def remember(self, key: str, text: str) -> None:
        """Keep the text under the key; a note that has the key already is replaced."""
        run = self._run
        async with self._database.begin(run.workspace_id) as unit:
            await unit.notes.remember(
                run.user_id,
                key,
                text,
                agent=self._agent,
                taint=sorted(self._tainted),
                origin=(run.id, run.conversation_id),
            )

    async def recall(self, query: str) -> list[dict[str, Any]]:
        """Notes that share a word with the query, best first; the newest ones for an empty query."""
        async with self._database.begin(self._run.workspace_id) as unit:
            found = await unit.notes.recall(self._run.user_id, query, agent=self._agent)
            read = {source for note in found for source in note.taint} - self._tainted
            if read:
                # At once: what the journal answers after a crash must not come back clean.
                self._tainted |= read
                await unit.runs.checkpoint(self._run.id, self._run.fence, taint=sorted(self._tainted))
        return [
            {"key": note.key, "text": note.text, "updated_at": note.updated_at.isoformat()}
            | ({"written_after_reading": note.taint} if note.taint else {})
            for note in found
        ]

    async def forget(self, key: str) -> bool:
        """Remove the note; false when there is none."""
        async with self._database.begin(self._run.workspace_id) as unit:
            return await unit.notes.forget(self._run.user_id, key, agent=self._agent)
