"""One transaction, its stores, and the bells to ring once it is committed."""

from functools import cached_property
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.stores.agent_runs import AgentRunStore
from app.database.stores.agents import AgentStore
from app.database.stores.approval_links import ApprovalLinkStore
from app.database.stores.approvals import ApprovalStore
from app.database.stores.awaited import AwaitedStore
from app.database.stores.births import BirthStore
from app.database.stores.branches import BranchStore
from app.database.stores.connections import ConnectionStore
from app.database.stores.conversations import ConversationStore
from app.database.stores.deliveries import DeliveryStore
from app.database.stores.directory import DirectoryStore
from app.database.stores.events import EventStore
from app.database.stores.files import FileStore
from app.database.stores.idempotency import IdempotencyStore
from app.database.stores.identities import IdentityStore
from app.database.stores.inbound import InboundStore
from app.database.stores.journal import JournalStore
from app.database.stores.keys import KeyStore
from app.database.stores.links import LinkStore
from app.database.stores.mail_sends import MailSendStore
from app.database.stores.notes import NoteStore
from app.database.stores.occurrences import OccurrenceStore
from app.database.stores.outbox import OutboxStore
from app.database.stores.processes import ProcessStore
from app.database.stores.queue import QueueStore
from app.database.stores.runs import RunStore
from app.database.stores.sealed import SealedStore
from app.database.stores.settling import SettlingStore
from app.database.stores.slack import SlackStore
from app.database.stores.slack_messages import SlackMessageStore
from app.database.stores.sources import SourceStore
from app.database.stores.steering import SteeringStore
from app.database.stores.summaries import SummaryStore
from app.database.stores.tasks import TaskStore
from app.database.stores.timetable import TimetableStore
from app.database.stores.triggers import TriggerStore
from app.database.stores.turns import TurnStore
from app.database.stores.upkeep import UpkeepStore
from app.database.stores.users import UserStore
from app.models.bells import Bell


class Unit:
    """One transaction in one workspace. Its stores know the workspace; no query can forget it.

    A unit never commits: whoever opened it does, at the end of the block.
    """

    def __init__(self, connection: AsyncConnection, workspace_id: UUID) -> None:
        self.connection = connection
        self.workspace_id = workspace_id
        self.bells: list[Bell] = []

    def ring(self, bell: Bell) -> None:
        """Remember a bell for after the commit."""
        self.bells.append(bell)

    @cached_property
    def runs(self) -> RunStore:
        return RunStore(self.connection, self.workspace_id)

    @cached_property
    def turns(self) -> TurnStore:
        return TurnStore(self.connection, self.workspace_id)

    @cached_property
    def journal(self) -> JournalStore:
        return JournalStore(self.connection, self.workspace_id)

    @cached_property
    def events(self) -> EventStore:
        return EventStore(self.connection, self.workspace_id)

    @cached_property
    def conversations(self) -> ConversationStore:
        return ConversationStore(self.connection, self.workspace_id)

    @cached_property
    def agents(self) -> AgentStore:
        return AgentStore(self.connection, self.workspace_id)

    @cached_property
    def tasks(self) -> TaskStore:
        return TaskStore(self.connection, self.workspace_id)

    @cached_property
    def approvals(self) -> ApprovalStore:
        return ApprovalStore(self.connection, self.workspace_id)

    @cached_property
    def users(self) -> UserStore:
        return UserStore(self.connection, self.workspace_id)

    @cached_property
    def keys(self) -> KeyStore:
        return KeyStore(self.connection, self.workspace_id)

    @cached_property
    def notes(self) -> NoteStore:
        return NoteStore(self.connection, self.workspace_id)

    @cached_property
    def idempotency(self) -> IdempotencyStore:
        return IdempotencyStore(self.connection, self.workspace_id)

    @cached_property
    def births(self) -> BirthStore:
        return BirthStore(self.connection)

    @cached_property
    def occurrences(self) -> OccurrenceStore:
        return OccurrenceStore(self.connection, self.workspace_id)

    @cached_property
    def inbound(self) -> InboundStore:
        return InboundStore(self.connection, self.workspace_id)

    @cached_property
    def deliveries(self) -> DeliveryStore:
        return DeliveryStore(self.connection, self.workspace_id)

    @cached_property
    def settling(self) -> SettlingStore:
        return SettlingStore(self.connection)

    @cached_property
    def connections(self) -> ConnectionStore:
        return ConnectionStore(self.connection, self.workspace_id)

    @cached_property
    def links(self) -> LinkStore:
        return LinkStore(self.connection)

    @cached_property
    def identities(self) -> IdentityStore:
        return IdentityStore(self.connection, self.workspace_id)

    @cached_property
    def mail_sends(self) -> MailSendStore:
        return MailSendStore(self.connection, self.workspace_id)

    @cached_property
    def approval_links(self) -> ApprovalLinkStore:
        return ApprovalLinkStore(self.connection, self.workspace_id)

    @cached_property
    def slack(self) -> SlackStore:
        return SlackStore(self.connection, self.workspace_id)

    @cached_property
    def slack_messages(self) -> SlackMessageStore:
        return SlackMessageStore(self.connection, self.workspace_id)

    @cached_property
    def awaited(self) -> AwaitedStore:
        return AwaitedStore(self.connection, self.workspace_id)

    @cached_property
    def agent_runs(self) -> AgentRunStore:
        return AgentRunStore(self.connection, self.workspace_id)

    @cached_property
    def files(self) -> FileStore:
        return FileStore(self.connection, self.workspace_id)

    @cached_property
    def sources(self) -> SourceStore:
        return SourceStore(self.connection, self.workspace_id)

    @cached_property
    def branches(self) -> BranchStore:
        return BranchStore(self.connection, self.workspace_id)

    @cached_property
    def summaries(self) -> SummaryStore:
        return SummaryStore(self.connection, self.workspace_id)

    @cached_property
    def steering(self) -> SteeringStore:
        return SteeringStore(self.connection, self.workspace_id)


class Across:
    """One transaction over all workspaces, for the parts that serve every tenant."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.bells: list[Bell] = []

    def ring(self, bell: Bell) -> None:
        """Remember a bell for after the commit."""
        self.bells.append(bell)

    @cached_property
    def queue(self) -> QueueStore:
        return QueueStore(self.connection)

    @cached_property
    def upkeep(self) -> UpkeepStore:
        return UpkeepStore(self.connection)

    @cached_property
    def directory(self) -> DirectoryStore:
        return DirectoryStore(self.connection)

    @cached_property
    def processes(self) -> ProcessStore:
        return ProcessStore(self.connection)

    @cached_property
    def births(self) -> BirthStore:
        return BirthStore(self.connection)

    @cached_property
    def timetable(self) -> TimetableStore:
        return TimetableStore(self.connection)

    @cached_property
    def triggers(self) -> TriggerStore:
        return TriggerStore(self.connection)

    @cached_property
    def outbox(self) -> OutboxStore:
        return OutboxStore(self.connection)

    @cached_property
    def settling(self) -> SettlingStore:
        return SettlingStore(self.connection)

    @cached_property
    def links(self) -> LinkStore:
        return LinkStore(self.connection)

    @cached_property
    def sealed(self) -> SealedStore:
        return SealedStore(self.connection)
