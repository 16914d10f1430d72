"""A cancellation waits for the end of what must not be left half done."""

import asyncio

import pytest

from app.services import uninterrupted as module
from app.services.uninterrupted import uninterrupted


async def test_the_work_ends_before_the_cancellation_takes_effect() -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go_on.wait()
        done.set()

    task = asyncio.ensure_future(uninterrupted(work()))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


async def test_the_cancellation_goes_before_an_error_of_the_work() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go_on.wait()
        raise ValueError("too late to matter")

    task = asyncio.ensure_future(uninterrupted(work()))
    await begun.wait()
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_SECONDS", 0.05)
    begun, given_up = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    task = asyncio.ensure_future(uninterrupted(work()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(given_up.wait(), 1)


async def test_results_and_errors_pass() -> None:
    async def work(fails: bool) -> str:
        if fails:
            raise ValueError("as it is")
        return "done"

    assert await uninterrupted(work(fails=False)) == "done"
    with pytest.raises(ValueError, match="as it is"):
        await uninterrupted(work(fails=True))
