"""The doctor: names what is wrong and how to mend it."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from support.stores import own_stores

from app.services.doctor import Finding, examine


@dataclass(frozen=True)
class Choice:
    """Settings with outside stores."""

    data: Path
    database_url: str | None = None
    redis_url: str | None = None


def by_subject(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


async def test_outside_stores(tmp_path: Path) -> None:
    async with own_stores() as stores:
        urls = stores.urls
        found = by_subject(await examine(Choice(tmp_path / "unused", urls.database_url, urls.redis_url)))
        assert not (tmp_path / "unused").exists()
        assert found["DATABASE_URL"].ok
        assert found["REDIS_URL"].ok
        assert (found["schema"].ok, found["schema"].fix) == (False, "sixlane migrate")
        wrong = urls.database_url.replace("sixlane:", "sixlane:x", 1)
        found = by_subject(await examine(Choice(tmp_path, wrong, urls.redis_url.replace(":", ":x", 2))))
        assert not found["DATABASE_URL"].ok
        assert not found["REDIS_URL"].ok


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere/socket"])
async def test_stores_that_are_away(tmp_path: Path, url: str) -> None:
    found = by_subject(await examine(Choice(tmp_path, "postgresql+asyncpg://u:p@127.0.0.1:1/d", url)))
    assert [finding.ok for finding in found.values()] == [False, False]


async def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (finding, *_) = await examine(Choice(tmp_path / "file" / "data"))
    assert (finding.subject, finding.ok) == ("SIXLANE_DATA", False)
