"""The foundation: tenants, conversations, tasks, runs, journal, events, approvals.

Revision ID: 0001
Revises: 
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0001'
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table('app_clock',
    sa.Column('one', sa.Boolean(), server_default=sa.text('true'), nullable=False),
    sa.Column('offset_by', sa.Interval(), server_default=sa.text("'0'::interval"), nullable=False),
    sa.PrimaryKeyConstraint('one', name=op.f('pk_app_clock')),
    sa.CheckConstraint('one', name='ck_app_clock_one_row'),
    )
    op.execute("INSERT INTO app_clock DEFAULT VALUES")
    # STABLE: constant within one statement, so that an index can serve comparisons with it.
    op.execute("""
        CREATE FUNCTION app_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
        AS 'SELECT clock_timestamp() + (SELECT offset_by FROM app_clock)'
    """)
    op.create_table('entries',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('parent_id', sa.Uuid(), nullable=True),
    sa.Column('run_id', sa.Uuid(), nullable=True),
    sa.Column('kind', sa.Text(), server_default=sa.text("'message'"), nullable=False),
    sa.Column('format', sa.SmallInteger(), nullable=False),
    sa.Column('message', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_entries'))
    )
    op.create_table('idempotency_keys',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('principal', sa.Text(), nullable=False),
    sa.Column('route', sa.Text(), nullable=False),
    sa.Column('key', sa.String(length=255), nullable=False),
    sa.Column('body_hash', sa.LargeBinary(), nullable=False),
    sa.Column('object_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.PrimaryKeyConstraint('workspace_id', 'principal', 'route', 'key', name=op.f('pk_idempotency_keys'))
    )
    op.create_index('ix_idempotency_keys_created_at', 'idempotency_keys', ['created_at'], unique=False)
    op.create_table('processes',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('role', sa.Text(), nullable=False),
    sa.Column('version', sa.Text(), nullable=False),
    sa.Column('host', sa.Text(), nullable=False),
    sa.Column('pid', sa.Integer(), nullable=False),
    sa.Column('load', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.Column('heartbeat_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_processes'))
    )
    op.create_table('workspaces',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_workspaces')),
    sa.UniqueConstraint('name', name=op.f('uq_workspaces_name'))
    )
    op.create_table('agents',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('version', sa.Text(), nullable=False),
    sa.Column('definition', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('fk_agents_workspace_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_agents')),
    sa.UniqueConstraint('workspace_id', 'name', 'version', name=op.f('uq_agents_workspace_id_name_version'))
    )
    op.create_table('users',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('external_id', sa.Text(), nullable=False),
    sa.Column('is_owner', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('fk_users_workspace_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_users')),
    sa.UniqueConstraint('workspace_id', 'external_id', name=op.f('uq_users_workspace_id_external_id'))
    )
    op.create_table('api_keys',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('user_bound', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('prefix', sa.Text(), nullable=False),
    sa.Column('secret_hash', sa.LargeBinary(), nullable=False),
    sa.Column('scopes', sa.ARRAY(sa.Text()), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'user_id'], ['users.workspace_id', 'users.id'], name=op.f('fk_api_keys_workspace_id_user_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('fk_api_keys_workspace_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_api_keys')),
    sa.UniqueConstraint('id', name=op.f('uq_api_keys_id'))
    )
    op.create_table('conversations',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('pattern', sa.Text(), nullable=False),
    sa.Column('agent', sa.Text(), nullable=False),
    sa.Column('title', sa.Text(), nullable=True),
    sa.Column('context_data', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('targets', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False),
    sa.Column('head_id', sa.Uuid(), nullable=True),
    sa.Column('revision', sa.Uuid(), nullable=True),
    sa.Column('usage', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('deferred', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('branches', sa.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('forked_from', sa.Uuid(), nullable=True),
    sa.Column('forked_at', sa.Uuid(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'user_id'], ['users.workspace_id', 'users.id'], name=op.f('fk_conversations_workspace_id_user_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('fk_conversations_workspace_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_conversations'))
    )
    op.create_index('ix_conversations_forked_from', 'conversations', ['workspace_id', 'forked_from'], unique=False, postgresql_where=sa.text('forked_from IS NOT NULL'))
    op.create_table('notes',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'user_id'], ['users.workspace_id', 'users.id'], name=op.f('fk_notes_workspace_id_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_notes')),
    sa.UniqueConstraint('workspace_id', 'user_id', 'key', name=op.f('uq_notes_workspace_id_user_id_key'))
    )
    op.create_table('tasks',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('pattern', sa.Text(), nullable=False),
    sa.Column('agent', sa.Text(), nullable=False),
    sa.Column('title', sa.Text(), nullable=True),
    sa.Column('prompt', sa.Text(), nullable=False),
    sa.Column('context_data', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('notification_config', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('targets', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False),
    sa.Column('limits', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('model', sa.Text(), nullable=True),
    sa.Column('last_run_id', sa.Uuid(), nullable=True),
    sa.Column('disabled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'user_id'], ['users.workspace_id', 'users.id'], name=op.f('fk_tasks_workspace_id_user_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('fk_tasks_workspace_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_tasks'))
    )
    op.create_table('runs',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('task_id', sa.Uuid(), nullable=True),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('pattern', sa.Text(), nullable=False),
    sa.Column('agent', sa.Text(), nullable=False),
    sa.Column('agent_version', sa.Text(), nullable=False),
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('lane', sa.Text(), nullable=False),
    sa.Column('priority', sa.SmallInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('status_reason', sa.Text(), nullable=True),
    sa.Column('status_detail', sa.Text(), nullable=True),
    sa.Column('waiting_on', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('available_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.Column('holds_conversation', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('lease_owner', sa.Text(), nullable=True),
    sa.Column('lease_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('fence', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('attempt', sa.SmallInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('max_attempts', sa.SmallInteger(), nullable=False),
    sa.Column('checkpoints', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('last_seq', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('cancel_requested_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('parent_run_id', sa.Uuid(), nullable=True),
    sa.Column('root_run_id', sa.Uuid(), nullable=True),
    sa.Column('trigger', sa.Text(), nullable=False),
    sa.Column('input', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('limits', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('taint', sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('streamed', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('usage', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('completed_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['workspace_id', 'conversation_id'], ['conversations.workspace_id', 'conversations.id'], name=op.f('fk_runs_workspace_id_conversation_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id', 'task_id'], ['tasks.workspace_id', 'tasks.id'], name=op.f('fk_runs_workspace_id_task_id')),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_runs'))
    )
    op.create_index('ix_runs_conversation', 'runs', ['workspace_id', 'conversation_id', 'id'], unique=False)
    op.create_index('ix_runs_queue', 'runs', ['lane', 'workspace_id', 'user_id', sa.literal_column('priority DESC'), 'id'], unique=False, postgresql_where=sa.text("status = 'queued' AND available_at != 'infinity'"))
    op.create_index('ix_runs_running', 'runs', ['lane', 'workspace_id', 'user_id'], unique=False, postgresql_where=sa.text("status = 'running'"))
    op.create_index('ix_runs_task', 'runs', ['workspace_id', 'task_id', 'id'], unique=False, postgresql_where=sa.text('task_id IS NOT NULL'))
    op.create_index('uq_runs_holder', 'runs', ['workspace_id', 'conversation_id'], unique=True, postgresql_where='holds_conversation')
    op.create_table('approvals',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), server_default=sa.text("'pending'"), nullable=False),
    sa.Column('tool', sa.Text(), nullable=False),
    sa.Column('tool_call_id', sa.Text(), nullable=False),
    sa.Column('step', sa.Integer(), nullable=False),
    sa.Column('arguments', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('arguments_hash', sa.Text(), nullable=False),
    sa.Column('decision', sa.Text(), nullable=True),
    sa.Column('decided_arguments', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('note', sa.Text(), nullable=True),
    sa.Column('decided_by', sa.Text(), nullable=True),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'run_id'], ['runs.workspace_id', 'runs.id'], name=op.f('fk_approvals_workspace_id_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_approvals'))
    )
    op.create_index('ix_approvals_pending', 'approvals', ['workspace_id', 'user_id', 'id'], unique=False, postgresql_where=sa.text("status = 'pending'"))
    op.create_index('ix_approvals_run', 'approvals', ['workspace_id', 'run_id'], unique=False)
    op.create_table('run_events',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('first_seq', sa.Integer(), nullable=False),
    sa.Column('last_seq', sa.Integer(), nullable=False),
    sa.Column('events', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'run_id'], ['runs.workspace_id', 'runs.id'], name=op.f('fk_run_events_workspace_id_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'run_id', 'first_seq', name=op.f('pk_run_events'))
    )
    op.create_table('run_results',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('text', sa.Text(), nullable=True),
    sa.Column('data', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('error', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('entry_id', sa.Uuid(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'run_id'], ['runs.workspace_id', 'runs.id'], name=op.f('fk_run_results_workspace_id_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'run_id', name=op.f('pk_run_results'))
    )
    op.create_table('tool_calls',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('step', sa.Integer(), nullable=False),
    sa.Column('tool_call_id', sa.Text(), nullable=False),
    sa.Column('tool', sa.Text(), nullable=False),
    sa.Column('arguments', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('effect', sa.Boolean(), nullable=False),
    sa.Column('repeatable', sa.Boolean(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('result', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('usage', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('fence', sa.Integer(), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['workspace_id', 'run_id'], ['runs.workspace_id', 'runs.id'], name=op.f('fk_tool_calls_workspace_id_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'run_id', 'step', 'tool_call_id', name=op.f('pk_tool_calls'))
    )
    # Rows of these tables are updated while they are short-lived: leave room for updates in place.
    for table, fill in (("runs", 90), ("conversations", 70), ("processes", 70)):
        op.execute(f"ALTER TABLE {table} SET (fillfactor = {fill}, autovacuum_vacuum_scale_factor = 0.05)")


def downgrade() -> None:
    """Take the schema back."""
    op.drop_table('tool_calls')
    op.drop_table('run_results')
    op.drop_table('run_events')
    op.drop_index('ix_approvals_run', table_name='approvals')
    op.drop_index('ix_approvals_pending', table_name='approvals', postgresql_where=sa.text("status = 'pending'"))
    op.drop_table('approvals')
    op.drop_index('uq_runs_holder', table_name='runs', postgresql_where='holds_conversation')
    op.drop_index('ix_runs_task', table_name='runs', postgresql_where=sa.text('task_id IS NOT NULL'))
    op.drop_index('ix_runs_running', table_name='runs', postgresql_where=sa.text("status = 'running'"))
    op.drop_index('ix_runs_queue', table_name='runs', postgresql_where=sa.text("status = 'queued' AND available_at != 'infinity'"))
    op.drop_index('ix_runs_conversation', table_name='runs')
    op.drop_table('runs')
    op.drop_table('tasks')
    op.drop_table('notes')
    op.drop_index('ix_conversations_forked_from', table_name='conversations', postgresql_where=sa.text('forked_from IS NOT NULL'))
    op.drop_table('conversations')
    op.drop_table('api_keys')
    op.drop_table('users')
    op.drop_table('agents')
    op.drop_table('workspaces')
    op.drop_table('processes')
    op.drop_index('ix_idempotency_keys_created_at', table_name='idempotency_keys')
    op.drop_table('idempotency_keys')
    op.drop_table('entries')
    op.execute("DROP FUNCTION app_now()")
    op.drop_table('app_clock')
