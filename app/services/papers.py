"""The documents that a run was given: found, read, and put into its prompt."""

from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from app.agents.papers import TAINT, Paper, in_prompt
from app.agents.samples import SAMPLES
from app.integrations.http import OutboundBlocked, OutboundError
from app.models.errors import InvalidInput, Transient
from app.models.run import Run
from app.services.attempt import Attempt
from app.services.documents import sniff
from app.services.file_room import FileRoom, own_id
from app.services.workshop import Workshop

_SECONDS = 30.0


async def hand_over(shared: Workshop, attempt: Attempt) -> list[Paper]:
    """Read the documents of the attempt's run and put them into its prompt, if that is yet to be sent.

    Raises InvalidInput for a file that is gone, UnreadableDocument, and Transient for a page that may answer later.
    """
    run, room = attempt.run, shared.files
    wanted = [UUID(one) for one in run.input.get("files") or ()]
    given: dict[str, Any] | None = run.input.get("document")
    if room is None or (not wanted and given is None):
        return []
    papers = [await room.read(run.workspace_id, run.user_id, file_id) for file_id in wanted]
    if given is not None:
        papers.append(await _given(shared, room, run, given))
    async with room.database.begin(run.workspace_id) as unit:
        await unit.files.attach(run.id, [UUID(paper.ref) for paper in papers if paper.ref], "input")
    attempt.taint(TAINT)
    attempt.attached = in_prompt(papers)
    return papers


async def _given(shared: Workshop, room: FileRoom, run: Run, given: dict[str, Any]) -> Paper:
    """A document that came as a text, as an address, or as one of the samples."""
    if "url" in given:
        return await _fetched(shared, room, run, given["url"])
    name, text = SAMPLES[given["sample"]] if "sample" in given else ("document", given["text"])
    data = text.encode()
    return Paper(name, await room.documents.read(data, sniff(data, name)))


async def _fetched(shared: Workshop, room: FileRoom, run: Run, url: str) -> Paper:
    """What an address gave when the run first asked; it is kept, so that no later attempt reads something else."""
    file_id = own_id(run, "document")
    async with room.database.begin(run.workspace_id) as unit:
        known = await unit.files.get(file_id)
    if known is None:
        name, data = await _fetch(shared, room, url)
        await room.shelf(run).keep(file_id, name, data, role="input")
    return await room.read(run.workspace_id, run.user_id, file_id)


async def _fetch(shared: Workshop, room: FileRoom, url: str) -> tuple[str, bytes]:
    try:
        answer = await shared.outbound.request("GET", url, seconds=_SECONDS, max_bytes=room.most, redirects=3)
    except OutboundBlocked as error:
        raise InvalidInput(error.detail, code="address_blocked") from error
    except OutboundError as error:
        raise Transient(f"The document could not be fetched: {error.detail}.", code="document_unreachable") from error
    if answer.status >= 500 or answer.status == 429:
        raise Transient(f"The document could not be fetched: the server answered {answer.status}.")
    if answer.status >= 300:
        raise InvalidInput(f"The document could not be fetched: the server answered {answer.status}.")
    if answer.truncated:
        raise InvalidInput(f"The document is larger than {room.most} bytes.", code="file_too_large")
    name = unquote(urlsplit(answer.url).path.rpartition("/")[2]) or urlsplit(answer.url).hostname or "page"
    return name, answer.content
