"""Deliveries: what was told to whom, what became of it, and sending it again."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response, status
from pydantic import Field

from app.api.deps import BaseUrl, ManageKeys, ObjectId, OnceDep, ReadTasks, RuntimeDep, UnitDep, WriteTasks, mark
from app.api.examples import answers, page
from app.api.examples_deliveries import DELIVERY, DELIVERY_DETAIL, RESENT, SIGNING_SECRET
from app.api.pages import PageQuery, page_of
from app.api.route import StrictRoute
from app.models.delivery import DeliveryDetail, DeliveryOut, DeliveryStatus, SigningSecretOut
from app.models.notification import ChannelName
from app.models.page import Page
from app.services import deliveries

router = APIRouter(route_class=StrictRoute, tags=["deliveries"])


class DeliveryQuery(PageQuery):
    """Which deliveries to list. Dead letters have the status `dead`."""

    status: DeliveryStatus | None = Field(default=None, examples=["sent"])
    channel: ChannelName | None = Field(default=None, examples=[None])
    task_id: UUID | None = Field(default=None, examples=[None])
    run_id: UUID | None = Field(default=None, examples=[None])
    user_id: str | None = Field(default=None, min_length=1, max_length=255, examples=[None])

    def filters(self) -> dict[str, Any]:
        """The conditions by column; `user_id` is the client's own id of a person."""
        return self.model_dump(exclude={"limit", "after"})


@router.get("/deliveries", responses=answers(200, page(DELIVERY)))
async def list_deliveries(
    unit: UnitDep, principal: ReadTasks, base_url: BaseUrl, query: Annotated[DeliveryQuery, Query()]
) -> Page[DeliveryOut]:
    """List notifications, the newest first."""
    return await page_of(
        unit.workspace_id,
        query,
        lambda limit, after: deliveries.page(unit, principal, limit=limit, after=after, **query.filters()),
        lambda rows: deliveries.show(unit, rows, base_url=base_url),
    )


@router.get("/deliveries/signing-secret", responses=answers(200, SIGNING_SECRET))
async def get_signing_secret(principal: ManageKeys, runtime: RuntimeDep) -> SigningSecretOut:
    """Get what outgoing webhooks of this workspace are signed with (Standard Webhooks, HMAC-SHA256)."""
    return deliveries.shown_secret(runtime.vault, principal.workspace_id)


@router.get("/deliveries/{delivery_id}", responses=answers(200, DELIVERY_DETAIL, 404))
async def get_delivery(delivery_id: ObjectId, unit: UnitDep, principal: ReadTasks, base_url: BaseUrl) -> DeliveryDetail:
    """Get a notification with its tries, what the far end answered, and what is or was sent."""
    row = await deliveries.get(unit, principal, delivery_id)
    return await deliveries.detail(unit, row, base_url=base_url)


@router.post(
    "/deliveries/{delivery_id}/resend",
    status_code=status.HTTP_202_ACCEPTED,
    responses=answers(202, RESENT, 404, 409),
)
async def resend_delivery(
    delivery_id: ObjectId, unit: UnitDep, principal: WriteTasks, base_url: BaseUrl, once: OnceDep, response: Response
) -> DeliveryOut:
    """Send a notification again, as a delivery of its own. Receivers know it by the first one's id."""
    row, replayed = await deliveries.resend(unit, principal, delivery_id, once=once)
    mark(response, f"/deliveries/{row.id}", replayed=replayed)
    return (await deliveries.show(unit, [row], base_url=base_url))[0]
