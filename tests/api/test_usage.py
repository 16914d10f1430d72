"""Usage over HTTP: in sum, by model, by user and by time; null where no price is known."""

from datetime import UTC, datetime, timedelta

import httpx


async def spend(client: httpx.AsyncClient, user_id: str | None = None) -> None:
    made = await client.post("/conversations", json={"user_id": user_id} if user_id else {})
    answer = await client.post(f"/conversations/{made.json()['id']}/messages", json={"message": "What is 6 * 7?"})
    assert answer.json()["status"] == "completed"


async def test_usage_adds_up_and_never_calls_an_unknown_price_zero(client: httpx.AsyncClient) -> None:
    assert (await client.get("/usage")).json()["runs"] == 0
    await spend(client)
    await spend(client, "somebody-else")
    found = (await client.get("/usage")).json()
    assert (found["runs"], found["usage"]["requests"], found["usage"]["cost_usd"]) == (2, 4, None)
    assert [one["model"] for one in found["models"]] == ["demo"]
    assert found["models"][0]["usage"] == found["usage"]
    assert (await client.get("/usage", params={"user_id": "somebody-else"})).json()["runs"] == 1
    assert (await client.get("/usage", params={"user_id": "nobody"})).json()["runs"] == 0


async def test_usage_of_a_time(client: httpx.AsyncClient) -> None:
    await spend(client)
    now = datetime.now(UTC)
    later, earlier = (now + timedelta(hours=1)).isoformat(), (now - timedelta(hours=1)).isoformat()
    assert (await client.get("/usage", params={"since": earlier, "until": later})).json()["runs"] == 1
    assert (await client.get("/usage", params={"since": later})).json()["runs"] == 0
    assert (await client.get("/usage", params={"since": later, "until": earlier})).status_code == 422
    assert (await client.get("/usage", params={"since": "2026-11-21T09:00:00"})).status_code == 422
