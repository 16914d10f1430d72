"""Time and events: schedules, webhooks, notifications, chains.

Revision ID: 0002
Revises: 0001
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0002'
down_revision: str | Sequence[str] | None = '0001'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table('deliveries',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('task_id', sa.Uuid(), nullable=True),
    sa.Column('run_id', sa.Uuid(), nullable=True),
    sa.Column('event', sa.Text(), nullable=False),
    sa.Column('channel', sa.Text(), nullable=False),
    sa.Column('target', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('content', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('status_reason', sa.Text(), nullable=True),
    sa.Column('status_detail', sa.Text(), nullable=True),
    sa.Column('attempts', sa.SmallInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.Column('lease_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('fence', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('digest_id', sa.Uuid(), nullable=True),
    sa.Column('fallback_of', sa.Uuid(), nullable=True),
    sa.Column('resend_of', sa.Uuid(), nullable=True),
    sa.Column('dedup_key', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['workspace_id', 'user_id'], ['users.workspace_id', 'users.id'], name=op.f('fk_deliveries_workspace_id_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_deliveries')),
    sa.UniqueConstraint('workspace_id', 'dedup_key', name=op.f('uq_deliveries_workspace_id_dedup_key'))
    )
    op.create_index('ix_deliveries_created_at', 'deliveries', ['created_at'], unique=False)
    op.create_index('ix_deliveries_due', 'deliveries', ['due_at'], unique=False, postgresql_where=sa.text("status IN ('pending', 'sending', 'held')"))
    op.create_index('ix_deliveries_run', 'deliveries', ['workspace_id', 'run_id'], unique=False)
    op.create_index('ix_deliveries_task', 'deliveries', ['workspace_id', 'task_id'], unique=False)
    op.create_table('delivery_attempts',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('delivery_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.SmallInteger(), nullable=False),
    sa.Column('outcome', sa.Text(), nullable=False),
    sa.Column('code', sa.Text(), nullable=True),
    sa.Column('detail', sa.Text(), nullable=True),
    sa.Column('snippet', sa.Text(), nullable=True),
    sa.Column('seconds', sa.Float(), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'delivery_id'], ['deliveries.workspace_id', 'deliveries.id'], name=op.f('fk_delivery_attempts_workspace_id_delivery_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'delivery_id', 'number', name=op.f('pk_delivery_attempts'))
    )
    op.create_table('inbound_events',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('task_id', sa.Uuid(), nullable=False),
    sa.Column('dedup_key', sa.Text(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('content_type', sa.Text(), nullable=True),
    sa.Column('headers', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('scheme', sa.Text(), nullable=False),
    sa.Column('outcome', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('run_id', sa.Uuid(), nullable=True),
    sa.Column('replay_of', sa.Uuid(), nullable=True),
    sa.Column('received_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'task_id'], ['tasks.workspace_id', 'tasks.id'], name=op.f('fk_inbound_events_workspace_id_task_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_inbound_events')),
    sa.UniqueConstraint('workspace_id', 'task_id', 'dedup_key', name=op.f('uq_inbound_events_workspace_id_task_id_dedup_key'))
    )
    op.create_index('ix_inbound_events_held', 'inbound_events', ['workspace_id', 'task_id'], unique=False, postgresql_where=sa.text("outcome = 'held'"))
    op.create_index('ix_inbound_events_received_at', 'inbound_events', ['received_at'], unique=False)
    op.create_table('occurrences',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('task_id', sa.Uuid(), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('fire_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('kind', sa.Text(), server_default=sa.text("'schedule'"), nullable=False),
    sa.Column('outcome', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('run_id', sa.Uuid(), nullable=True),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'task_id'], ['tasks.workspace_id', 'tasks.id'], name=op.f('fk_occurrences_workspace_id_task_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_occurrences')),
    sa.UniqueConstraint('workspace_id', 'task_id', 'due_at', name=op.f('uq_occurrences_workspace_id_task_id_due_at'))
    )
    op.create_index('ix_occurrences_recorded_at', 'occurrences', ['recorded_at'], unique=False)
    op.create_index('uq_occurrences_waiting', 'occurrences', ['workspace_id', 'task_id'], unique=True, postgresql_where=sa.text("outcome = 'waiting'"))
    op.create_table('webhook_secrets',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('task_id', sa.Uuid(), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=False),
    sa.Column('hint', sa.Text(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'task_id'], ['tasks.workspace_id', 'tasks.id'], name=op.f('fk_webhook_secrets_workspace_id_task_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_webhook_secrets'))
    )
    op.create_index('ix_webhook_secrets_task', 'webhook_secrets', ['workspace_id', 'task_id'], unique=False)
    op.add_column('approvals', sa.Column('announced_at', sa.DateTime(timezone=True), nullable=True))
    op.create_index('ix_approvals_unannounced', 'approvals', ['workspace_id', 'run_id'], unique=False, postgresql_where=sa.text("status = 'pending' AND announced_at IS NULL"))
    op.add_column('runs', sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True))
    op.create_index('ix_runs_unsettled', 'runs', ['completed_at'], unique=False, postgresql_where=sa.text('task_id IS NOT NULL AND completed_at IS NOT NULL AND settled_at IS NULL'))
    op.add_column('tasks', sa.Column('schedule', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True))
    op.add_column('tasks', sa.Column('next_due_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('tasks', sa.Column('next_fire_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('tasks', sa.Column('runs_made', sa.Integer(), server_default=sa.text('0'), nullable=False))
    op.add_column('tasks', sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('tasks', sa.Column('paused_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('tasks', sa.Column('paused_by', sa.Text(), nullable=True))
    op.add_column('tasks', sa.Column('pause_reason', sa.Text(), nullable=True))
    op.add_column('tasks', sa.Column('failure_streak', sa.Integer(), server_default=sa.text('0'), nullable=False))
    op.add_column('tasks', sa.Column('trigger', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True))
    op.add_column('tasks', sa.Column('after_task_id', sa.Uuid(), nullable=True))
    op.add_column('tasks', sa.Column('after_on', sa.Text(), nullable=True))
    op.create_index('ix_tasks_after', 'tasks', ['workspace_id', 'after_task_id'], unique=False, postgresql_where=sa.text('after_task_id IS NOT NULL'))
    op.create_index('ix_tasks_next_fire_at', 'tasks', ['next_fire_at'], unique=False, postgresql_where=sa.text('next_fire_at IS NOT NULL AND deleted_at IS NULL'))
    op.create_unique_constraint(op.f('uq_tasks_id'), 'tasks', ['id'])
    # What ended before there were notifications is not told now.
    op.execute("UPDATE runs SET settled_at = completed_at WHERE task_id IS NOT NULL AND completed_at IS NOT NULL")
    op.execute("UPDATE approvals SET announced_at = created_at")


def downgrade() -> None:
    """Take the schema back."""
    op.drop_constraint(op.f('uq_tasks_id'), 'tasks', type_='unique')
    op.drop_index('ix_tasks_next_fire_at', table_name='tasks', postgresql_where=sa.text('next_fire_at IS NOT NULL AND deleted_at IS NULL'))
    op.drop_index('ix_tasks_after', table_name='tasks', postgresql_where=sa.text('after_task_id IS NOT NULL'))
    op.drop_column('tasks', 'after_on')
    op.drop_column('tasks', 'after_task_id')
    op.drop_column('tasks', 'trigger')
    op.drop_column('tasks', 'failure_streak')
    op.drop_column('tasks', 'pause_reason')
    op.drop_column('tasks', 'paused_by')
    op.drop_column('tasks', 'paused_at')
    op.drop_column('tasks', 'finished_at')
    op.drop_column('tasks', 'runs_made')
    op.drop_column('tasks', 'next_fire_at')
    op.drop_column('tasks', 'next_due_at')
    op.drop_column('tasks', 'schedule')
    op.drop_index('ix_runs_unsettled', table_name='runs', postgresql_where=sa.text('task_id IS NOT NULL AND completed_at IS NOT NULL AND settled_at IS NULL'))
    op.drop_column('runs', 'settled_at')
    op.drop_index('ix_approvals_unannounced', table_name='approvals', postgresql_where=sa.text("status = 'pending' AND announced_at IS NULL"))
    op.drop_column('approvals', 'announced_at')
    op.drop_index('ix_webhook_secrets_task', table_name='webhook_secrets')
    op.drop_table('webhook_secrets')
    op.drop_index('uq_occurrences_waiting', table_name='occurrences', postgresql_where=sa.text("outcome = 'waiting'"))
    op.drop_index('ix_occurrences_recorded_at', table_name='occurrences')
    op.drop_table('occurrences')
    op.drop_index('ix_inbound_events_received_at', table_name='inbound_events')
    op.drop_index('ix_inbound_events_held', table_name='inbound_events', postgresql_where=sa.text("outcome = 'held'"))
    op.drop_table('inbound_events')
    op.drop_table('delivery_attempts')
    op.drop_index('ix_deliveries_task', table_name='deliveries')
    op.drop_index('ix_deliveries_run', table_name='deliveries')
    op.drop_index('ix_deliveries_due', table_name='deliveries', postgresql_where=sa.text("status IN ('pending', 'sending', 'held')"))
    op.drop_index('ix_deliveries_created_at', table_name='deliveries')
    op.drop_table('deliveries')
