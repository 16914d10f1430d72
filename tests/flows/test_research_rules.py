"""What research refuses and where it stops: invented citations, composed addresses, limits, dead searches."""

import io
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from support.research import begun_by, done, found, question, reported, research, say, seen, topic, writing
from support.search_server import small_web

from app.agents.citations import ref_of
from app.models.errors import InvalidInput
from app.models.run import RunOut
from app.services import files
from tests.flows.conftest import Desk, OpenDesk

TIDES, BEES = ref_of("corpus:tides"), ref_of("corpus:bees")
READ = say("read_source", {"source": "corpus:tides"})
CORPUS = {"sources": ["corpus"]}
INVENTED = "src-deadbeef"


async def order(desk: Desk, wanted: str, **more: Any) -> RunOut:
    """What a piece of research came to."""
    return await done(desk.runtime, desk.owner, await research(desk.runtime, desk.owner, wanted, **more))


async def test_an_invented_citation_never_appears(open_desk: OpenDesk) -> None:
    report = writing(
        reported(f"Tides rise [{INVENTED}]."),
        reported(f"Bees dance [{BEES}]."),
        reported("See https://invented.example/page for tides."),
        reported(f"Tides rise [{TIDES}]."),
    )
    part = question("tides", READ, found("It rises.", INVENTED), found("It rises.", "1"), found(report, TIDES))
    async with open_desk() as desk:
        run_id = await research(desk.runtime, desk.owner, topic(part), options=CORPUS)
        run = await done(desk.runtime, desk.owner, run_id)
        assert (run.status, run.status_detail) == ("completed", None)
        result: Any = run.result
        assert [source["ref"] for source in result["sources"]] == [TIDES]
        assert "Tides rise [1]." in result["markdown"]
        shown = f"{result['markdown']} {result['report']} {result['findings'][0]['finding']}"
        assert not [word for word in (INVENTED, BEES, "invented.example") if word in shown]
        assert (await begun_by(desk.runtime, desk.owner, run_id))[0].usage.requests == 4
        assert run.usage.requests == 1 + 4


async def test_a_writer_that_goes_on_inventing_fails_with_what_was_found(open_desk: OpenDesk) -> None:
    part = question("tides", READ, found(writing(*[reported(f"Rise [{INVENTED}].")] * 5), TIDES))
    async with open_desk() as desk:
        run = await order(desk, topic(part), options=CORPUS)
        assert run.status == "failed"
        assert "**Unfinished.**" in run.result
        assert run.result.endswith("1. Tides (corpus:tides)")
        assert INVENTED not in run.result


async def test_a_researcher_stopped_by_its_share_is_told_of_in_the_report(open_desk: OpenDesk) -> None:
    fine = question("fine", READ, found(writing(reported(f"Tides rise [{TIDES}].")), TIDES))
    endless = question("endless", {"loop_tool": {"name": "search_corpus", "args": {"query": "tides"}}})
    limits = {"steps": 12}  # one for the plan, a fifth of the rest for the report: 4 for each of the two
    async with open_desk() as desk:
        run_id = await research(desk.runtime, desk.owner, topic(fine, endless), options=CORPUS, limits=limits)
        run = await done(desk.runtime, desk.owner, run_id)
        assert run.status == "completed"
        first, second = await begun_by(desk.runtime, desk.owner, run_id)
        assert (first.status, second.status, second.status_reason) == ("completed", "failed", "limit_steps")
        assert second.usage.requests == 4
        assert (
            "## What is missing\n\n- endless: The run failed: The run used all the model requests"
            in run.result["markdown"]
        )
        assert run.total_usage.requests <= 12


async def test_a_writer_stopped_by_the_limit_leaves_what_was_found(open_desk: OpenDesk) -> None:
    tries = writing(reported(f"Rise [{INVENTED}]."), reported(f"Tides rise [{TIDES}]."))
    limits = {"steps": 4}  # the plan, two for the researcher, one for the report
    async with open_desk() as desk:
        wanted = topic(question("tides", READ, found(tries, TIDES)))
        run = await order(desk, wanted, options=CORPUS, limits=limits)
        assert (run.status, run.status_reason) == ("failed", "limit_steps")
        assert "**Unfinished.** The run used all the model requests" in run.result
        assert "## tides" in run.result
        stopped = await order(desk, wanted, options=CORPUS, limits={"steps": 1})
        assert (stopped.status, stopped.status_reason, stopped.result) == ("failed", "limit_steps", None)


async def test_questions_that_findings_leave_open_get_a_round_of_their_own(open_desk: OpenDesk) -> None:
    last = question("second", say("read_source", {"source": "corpus:bees"}), found("Bees dance.", BEES))
    again = writing(say("research_further", {"parts": [last]}))
    first = question("first", READ, found(again, TIDES))
    async with open_desk() as desk:
        run_id = await research(desk.runtime, desk.owner, topic(first), options={**CORPUS, "depth": 2})
        await done(desk.runtime, desk.owner, run_id)
        parts = await begun_by(desk.runtime, desk.owner, run_id)
        assert [part.status for part in parts] == ["completed", "completed"]
        # The script of the first finding asks for more once again, which the depth does not allow.
        run = (await seen(desk.runtime, desk.owner, [run_id]))[0]
        assert run.status == "failed"
        assert "## second" in run.result


async def test_the_web_is_searched_and_read_only_where_a_search_led(open_desk: OpenDesk) -> None:
    with small_web() as web:
        page, secret = f"{web.url}/tides.html", f"{web.url}/tides.html?told=secret"
        ref = ref_of(page)
        part = question(
            "tides",
            say("search_web", {"query": "tides"}),
            say("read_source", {"source": secret}),
            say("read_source", {"source": page}),
            say("read_source", {"source": f"{web.url}/more.html"}),
            found(writing(reported(f"Tides rise [{ref}].")), ref),
        )
        hosts = urlsplit(web.url).netloc
        async with open_desk(SIXLANE_SEARXNG_URL=web.url, OUTBOUND_ALLOW_HOSTS=hosts) as desk:
            run_id = await research(desk.runtime, desk.owner, topic(part))
            run = await done(desk.runtime, desk.owner, run_id)
            assert (run.status, run.status_detail) == ("completed", None)
            assert [path for path in web.seen if "told" in path] == []
            assert web.seen[-1] == "/more.html"
            # A stranger's title is shown as text, never as a link.
            assert run.result["markdown"].endswith(f"1. On \\[tides\\]\\(http://elsewhere.example\\) - <{page}>")
            assert "read_source: Only addresses that a search or a page has given" in run.result["markdown"]
            [part_run] = await begun_by(desk.runtime, desk.owner, run_id)
            assert part_run.status == "completed"


async def test_a_search_that_fails_is_shown(open_desk: OpenDesk) -> None:
    with small_web() as web:
        search = say("search_web", {"query": "tides"})
        helped = question("helped", search, READ, found(writing(reported(f"Tides rise [{TIDES}].")), TIDES))
        lost = question("lost", search, found("", gaps=("The search did not work.",)))
        async with open_desk(SIXLANE_SEARXNG_URL=f"{web.url}/broken") as desk:
            both = {"sources": ["web", "corpus"]}
            run = await order(desk, topic(helped, lost), options=both)
            assert run.status == "completed"
            assert "- helped: search_web: The search at searxng answered 503." in run.result["markdown"]
            run = await order(desk, topic(lost))
            assert (run.status, run.status_reason) == ("failed", "nothing_found")
            assert "The search at searxng answered 503." in (run.status_detail or "")


async def test_documents_of_the_task_are_read_and_cited(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        upload = files.measured(io.BytesIO(b"The harbour is 12 metres deep."), "harbour.txt", "")
        async with desk.runtime.database.begin(desk.owner.workspace_id) as unit:
            paper, _ = await files.keep(unit, desk.owner, upload, user_id=None, quota=10**9, once=None)
        source = f"file:{paper.id}"
        ref = ref_of(source)
        other = say("read_source", {"source": f"file:{uuid4()}"})
        read = say("read_source", {"source": source})
        part = question("depth", other, read, found(writing(reported(f"It is 12 metres deep [{ref}].")), ref))
        run = await order(desk, topic(part), options={"sources": ["files"]}, files=[paper.id])
        assert (run.status, run.status_detail) == ("completed", None)
        assert run.result["markdown"].endswith(f"1. harbour.txt ({source})")
        assert "read_source: This is no document of the research." in run.result["markdown"]
        with pytest.raises(InvalidInput, match="a research comes to a report"):
            await research(desk.runtime, desk.owner, topic(part), output_schema={"type": "object"})
