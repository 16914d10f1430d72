"""What researchers may read, and where it is noted that they did."""

from collections.abc import Mapping
from uuid import UUID

from pydantic_ai import ToolFailed

from app.agents.research import Brief
from app.integrations.search import Hit, SearchFailed
from app.models.document import UnreadableDocument
from app.models.errors import InvalidInput
from app.models.run import Run
from app.services.workshop import Workshop


def root_of(run: Run) -> UUID:
    """The run under which the sources of this one are kept."""
    return run.root_run_id or run.id


def desk_of(shared: Workshop, run: Run) -> "Sources | None":
    """What the run of a researcher may read; None for any other run."""
    brief = Brief.of(run.input)
    return None if brief is None else Sources(shared, run, brief)


def words_of(run: Run) -> list[str]:
    """What a researcher is told of what it may read without a search."""
    brief = Brief.of(run.input)
    named = [*(f"file:{one}" for one in brief.files if "files" in brief.kinds), *brief.urls] if brief else []
    return [f"You may read these with read_source: {', '.join(named)}."] if named else []


class Sources:
    """The desk of one researcher: the kinds of sources and the pages that the research may use."""

    def __init__(self, shared: Workshop, run: Run, brief: Brief) -> None:
        self.kinds: frozenset[str] = frozenset(brief.kinds)
        self.urls: frozenset[str] = frozenset(brief.urls)
        self._files = frozenset(brief.files)
        self._database = shared.database
        self._search = shared.search
        self._room = shared.files
        self._run = run

    async def search(self, query: str, most: int) -> list[Hit]:
        """Pages that the operator's search provider finds. Raises SearchFailed."""
        if self._search is None:
            raise SearchFailed("There is no web search here.")
        return await self._search.find(query, most)

    async def document(self, file_id: str) -> tuple[str, str]:
        """Title and text of a document of the task. Raises ToolFailed."""
        if self._room is None or file_id not in self._files:
            raise ToolFailed("This is no document of the research.")
        try:
            paper = await self._room.read(self._run.workspace_id, self._run.user_id, UUID(file_id))
        except (InvalidInput, UnreadableDocument) as error:
            raise ToolFailed(error.detail) from error
        return paper.name, paper.document.text

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
