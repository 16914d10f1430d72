"""Six patterns: own agents, files, context and client tools, calls that others answer, sources, steering, memory.

Revision ID: 0004
Revises: 0003
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0004'
down_revision: str | Sequence[str] | None = '0003'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table('own_agents',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('version', sa.Text(), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('archived_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('fk_own_agents_workspace_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'name', name=op.f('pk_own_agents'))
    )
    op.create_table('files',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('media_type', sa.Text(), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('sha256', sa.LargeBinary(), nullable=False),
    sa.Column('made_by_run_id', sa.Uuid(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'user_id'], ['users.workspace_id', 'users.id'], name=op.f('fk_files_workspace_id_user_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('fk_files_workspace_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_files'))
    )
    op.create_index('ix_files_user', 'files', ['workspace_id', 'user_id', 'id'], unique=False)
    op.create_table('file_pieces',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('file_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('data', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'file_id'], ['files.workspace_id', 'files.id'], name=op.f('fk_file_pieces_workspace_id_file_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'file_id', 'number', name=op.f('pk_file_pieces'))
    )
    op.create_table('awaited_calls',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('step', sa.Integer(), nullable=False),
    sa.Column('tool_call_id', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('tool', sa.Text(), nullable=False),
    sa.Column('arguments', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('child_run_id', sa.Uuid(), nullable=True),
    sa.Column('status', sa.Text(), server_default=sa.text("'pending'"), nullable=False),
    sa.Column('outcome', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('answered_by', sa.Text(), nullable=True),
    sa.Column('answered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'run_id'], ['runs.workspace_id', 'runs.id'], name=op.f('fk_awaited_calls_workspace_id_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'run_id', 'step', 'tool_call_id', name=op.f('pk_awaited_calls'))
    )
    op.create_index('ix_awaited_calls_child', 'awaited_calls', ['workspace_id', 'child_run_id'], unique=False, postgresql_where=sa.text('child_run_id IS NOT NULL'))
    op.create_index('ix_awaited_calls_expires_at', 'awaited_calls', ['expires_at'], unique=False, postgresql_where=sa.text("status = 'pending' AND expires_at IS NOT NULL"))
    op.create_table('run_files',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('file_id', sa.Uuid(), nullable=False),
    sa.Column('role', sa.Text(), server_default=sa.text("'input'"), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'file_id'], ['files.workspace_id', 'files.id'], name=op.f('fk_run_files_workspace_id_file_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id', 'run_id'], ['runs.workspace_id', 'runs.id'], name=op.f('fk_run_files_workspace_id_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'run_id', 'file_id', name=op.f('pk_run_files'))
    )
    op.create_index('ix_run_files_file', 'run_files', ['workspace_id', 'file_id'], unique=False)
    op.create_table('sources',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('root_run_id', sa.Uuid(), nullable=False),
    sa.Column('ref', sa.Text(), nullable=False),
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('title', sa.Text(), nullable=False),
    sa.Column('excerpt', sa.Text(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=True),
    sa.Column('fetched_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'root_run_id'], ['runs.workspace_id', 'runs.id'], name=op.f('fk_sources_workspace_id_root_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'root_run_id', 'ref', name=op.f('pk_sources'))
    )
    op.create_table('steering',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.Column('delivered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('next_run_id', sa.Uuid(), nullable=True),
    sa.ForeignKeyConstraint(['workspace_id', 'run_id'], ['runs.workspace_id', 'runs.id'], name=op.f('fk_steering_workspace_id_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_steering'))
    )
    op.create_index('ix_entries_summaries', 'entries', ['workspace_id', 'parent_id'], unique=False, postgresql_where=sa.text("kind = 'summary'"))
    op.create_index('ix_steering_run', 'steering', ['workspace_id', 'run_id'], unique=False)
    op.add_column('conversations', sa.Column('context_version', sa.Integer(), server_default=sa.text('0'), nullable=False))
    op.add_column('conversations', sa.Column('context_schema', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True))
    op.add_column('conversations', sa.Column('context_changes', sa.Text(), server_default=sa.text("'propose'"), nullable=False))
    op.add_column('conversations', sa.Column('client_tools', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False))
    op.add_column('conversations', sa.Column('summary_id', sa.Uuid(), nullable=True))
    op.add_column('conversations', sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True))
    op.create_index('ix_conversations_expires_at', 'conversations', ['expires_at'], unique=False, postgresql_where=sa.text('expires_at IS NOT NULL'))
    op.add_column('notes', sa.Column('agent', sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column('notes', sa.Column('taint', sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False))
    op.add_column('notes', sa.Column('run_id', sa.Uuid(), nullable=True))
    op.add_column('notes', sa.Column('conversation_id', sa.Uuid(), nullable=True))
    op.drop_constraint(op.f('uq_notes_workspace_id_user_id_key'), 'notes', type_='unique')
    op.create_unique_constraint(op.f('uq_notes_workspace_id_user_id_agent_key'), 'notes', ['workspace_id', 'user_id', 'agent', 'key'])
    op.add_column('runs', sa.Column('state', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True))
    op.create_index('ix_runs_parent', 'runs', ['workspace_id', 'parent_run_id'], unique=False, postgresql_where=sa.text('parent_run_id IS NOT NULL'))
    op.create_index('uq_runs_agent_run', 'runs', ['workspace_id', 'user_id'], unique=True, postgresql_where=sa.text("trigger = 'agent_run' AND status IN ('queued', 'running', 'waiting')"))
    op.drop_index('ix_runs_unsettled', table_name='runs')
    op.create_index('ix_runs_unsettled', 'runs', ['completed_at'], unique=False, postgresql_where=sa.text("(task_id IS NOT NULL OR trigger IN ('slack', 'sub_run')) AND completed_at IS NOT NULL AND settled_at IS NULL"))
    op.add_column('tasks', sa.Column('output_schema', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True))
    op.add_column('tasks', sa.Column('options', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False))
    op.add_column('tasks', sa.Column('files', sa.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False))


def downgrade() -> None:
    """Take the schema back."""
    op.drop_column('tasks', 'files')
    op.drop_column('tasks', 'options')
    op.drop_column('tasks', 'output_schema')
    op.drop_index('ix_runs_unsettled', table_name='runs')
    op.create_index('ix_runs_unsettled', 'runs', ['completed_at'], unique=False, postgresql_where=sa.text("(task_id IS NOT NULL OR trigger = 'slack') AND completed_at IS NOT NULL AND settled_at IS NULL"))
    op.drop_index('uq_runs_agent_run', table_name='runs', postgresql_where=sa.text("trigger = 'agent_run' AND status IN ('queued', 'running', 'waiting')"))
    op.drop_index('ix_runs_parent', table_name='runs', postgresql_where=sa.text('parent_run_id IS NOT NULL'))
    op.drop_column('runs', 'state')
    op.drop_constraint(op.f('uq_notes_workspace_id_user_id_agent_key'), 'notes', type_='unique')
    op.create_unique_constraint(op.f('uq_notes_workspace_id_user_id_key'), 'notes', ['workspace_id', 'user_id', 'key'])
    op.drop_column('notes', 'conversation_id')
    op.drop_column('notes', 'run_id')
    op.drop_column('notes', 'taint')
    op.drop_column('notes', 'agent')
    op.drop_index('ix_conversations_expires_at', table_name='conversations', postgresql_where=sa.text('expires_at IS NOT NULL'))
    op.drop_column('conversations', 'expires_at')
    op.drop_column('conversations', 'summary_id')
    op.drop_column('conversations', 'client_tools')
    op.drop_column('conversations', 'context_changes')
    op.drop_column('conversations', 'context_schema')
    op.drop_column('conversations', 'context_version')
    op.drop_index('ix_entries_summaries', table_name='entries', postgresql_where=sa.text("kind = 'summary'"))
    op.drop_index('ix_steering_run', table_name='steering')
    op.drop_table('steering')
    op.drop_table('sources')
    op.drop_index('ix_run_files_file', table_name='run_files')
    op.drop_table('run_files')
    op.drop_index('ix_awaited_calls_expires_at', table_name='awaited_calls', postgresql_where=sa.text("status = 'pending' AND expires_at IS NOT NULL"))
    op.drop_index('ix_awaited_calls_child', table_name='awaited_calls', postgresql_where=sa.text('child_run_id IS NOT NULL'))
    op.drop_table('awaited_calls')
    op.drop_table('file_pieces')
    op.drop_index('ix_files_user', table_name='files')
    op.drop_table('files')
    op.drop_table('own_agents')
