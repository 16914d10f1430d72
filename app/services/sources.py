"""What researchers may read, and where it is noted that they did."""

from collections.abc import Mapping
from uuid import UUID

from pydantic_ai import ToolFailed

from app.agents.research import Brief
from app.database.connection import Database
from app.integrations.search import Hit, SearchFailed, WebSearch
from app.models.run import Run


def root_of(run: Run) -> UUID:
    """The run under which the sources of this one are kept."""
    return run.root_run_id or run.id


def desk_of(database: Database, search: WebSearch | None, run: Run) -> "Sources | None":
    """What the run of a researcher may read; None for any other run."""
    brief = Brief.of(run.input)
    if brief is None:
        return None
    return Sources(database, search, run, kinds=frozenset(brief.kinds), urls=frozenset(brief.urls))


class Sources:
    """The desk of one researcher: the kinds of sources and the pages that the research may use."""

    def __init__(
        self, database: Database, search: WebSearch | None, run: Run, *, kinds: frozenset[str], urls: frozenset[str]
    ) -> None:
        self.kinds = kinds
        self.urls = urls
        self._database = database
        self._search = search
        self._run = run

    async def search(self, query: str, most: int) -> list[Hit]:
        """Pages that the operator's search provider finds. Raises SearchFailed."""
        if self._search is None:
            raise SearchFailed("There is no web search here.")
        return await self._search.find(query, most)

    async def document(self, file_id: str) -> tuple[str, str]:
        """Title and text of a document of the task. Raises ToolFailed."""
        raise ToolFailed(f"There is no document {file_id}.")

    async def keep(self, ref: str, kind: str, address: str, title: str, excerpt: str) -> None:
        """Note that this was fetched, under its reference."""
        async with self._database.begin(self._run.workspace_id) as unit:
            await unit.sources.keep(
                root_of(self._run), ref, run_id=self._run.id, kind=kind, url=address, title=title, excerpt=excerpt
            )

    async def known(self) -> Mapping[str, str]:
        """Addresses of everything that was fetched in this research, by reference."""
        async with self._database.begin(self._run.workspace_id) as unit:
            return {source.ref: source.url for source in await unit.sources.of_root(root_of(self._run))}
