"""People and mail: connections, identities, Slack, approval links, grants, taint of conversations.

Revision ID: 0003
Revises: 0002
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0003'
down_revision: str | Sequence[str] | None = '0002'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table('slack_messages',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('about_id', sa.Uuid(), nullable=False),
    sa.Column('channel_id', sa.Text(), nullable=False),
    sa.Column('thread_ts', sa.Text(), nullable=True),
    sa.Column('message_ts', sa.Text(), nullable=True),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('state', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_slack_messages')),
    sa.UniqueConstraint('workspace_id', 'kind', 'about_id', name=op.f('uq_slack_messages_workspace_id_kind_about_id'))
    )
    op.create_index('ix_slack_messages_due_at', 'slack_messages', ['workspace_id', 'due_at'], unique=False, postgresql_where=sa.text('due_at IS NOT NULL'))
    op.create_table('slack_receipts',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('run_id', sa.Uuid(), nullable=True),
    sa.Column('received_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('fk_slack_receipts_workspace_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'key', name=op.f('pk_slack_receipts'))
    )
    op.create_index('ix_slack_receipts_received_at', 'slack_receipts', ['received_at'], unique=False)
    op.create_table('connections',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('account', sa.Text(), nullable=False),
    sa.Column('scopes', sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('status_reason', sa.Text(), nullable=True),
    sa.Column('sealed_refresh', sa.LargeBinary(), nullable=True),
    sa.Column('sealed_access', sa.LargeBinary(), nullable=True),
    sa.Column('access_expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('version', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('refreshing_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'user_id'], ['users.workspace_id', 'users.id'], name=op.f('fk_connections_workspace_id_user_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('fk_connections_workspace_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_connections')),
    sa.UniqueConstraint('workspace_id', 'provider', 'user_id', name=op.f('uq_connections_workspace_id_provider_user_id'))
    )
    op.create_table('identities',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('profile', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'user_id'], ['users.workspace_id', 'users.id'], name=op.f('fk_identities_workspace_id_user_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('fk_identities_workspace_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_identities')),
    sa.UniqueConstraint('workspace_id', 'provider', 'subject', name=op.f('uq_identities_workspace_id_provider_subject'))
    )
    op.create_table('mail_sends',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('effect_key', sa.Text(), nullable=False),
    sa.Column('account', sa.Text(), nullable=False),
    sa.Column('message_id', sa.Text(), nullable=False),
    sa.Column('draft_id', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.Column('sent_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['workspace_id', 'user_id'], ['users.workspace_id', 'users.id'], name=op.f('fk_mail_sends_workspace_id_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_mail_sends')),
    sa.UniqueConstraint('workspace_id', 'effect_key', name=op.f('uq_mail_sends_workspace_id_effect_key'))
    )
    op.create_index('ix_mail_sends_account', 'mail_sends', ['workspace_id', 'account', 'created_at'], unique=False)
    op.create_table('oauth_states',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('state_hash', sa.LargeBinary(), nullable=False),
    sa.Column('browser_hash', sa.LargeBinary(), nullable=True),
    sa.Column('sealed_verifier', sa.LargeBinary(), nullable=False),
    sa.Column('nonce', sa.Text(), nullable=False),
    sa.Column('scopes', sa.ARRAY(sa.Text()), nullable=False),
    sa.Column('origin', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'user_id'], ['users.workspace_id', 'users.id'], name=op.f('fk_oauth_states_workspace_id_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_oauth_states')),
    sa.UniqueConstraint('state_hash', name=op.f('uq_oauth_states_state_hash'))
    )
    op.create_index('ix_oauth_states_created_at', 'oauth_states', ['created_at'], unique=False)
    op.create_table('slack_threads',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('team_id', sa.Text(), nullable=False),
    sa.Column('channel_id', sa.Text(), nullable=False),
    sa.Column('thread_ts', sa.Text(), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'conversation_id'], ['conversations.workspace_id', 'conversations.id'], name=op.f('fk_slack_threads_workspace_id_conversation_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_slack_threads')),
    sa.UniqueConstraint('workspace_id', 'team_id', 'channel_id', 'thread_ts', name=op.f('uq_slack_threads_workspace_id_team_id_channel_id_thread_ts'))
    )
    op.create_index('ix_slack_threads_conversation', 'slack_threads', ['workspace_id', 'conversation_id'], unique=False)
    op.create_table('approval_links',
    sa.Column('workspace_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('approval_id', sa.Uuid(), nullable=False),
    sa.Column('token_hash', sa.LargeBinary(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('app_now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'approval_id'], ['approvals.workspace_id', 'approvals.id'], name=op.f('fk_approval_links_workspace_id_approval_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'id', name=op.f('pk_approval_links')),
    sa.UniqueConstraint('token_hash', name=op.f('uq_approval_links_token_hash'))
    )
    op.add_column('approvals', sa.Column('reason', sa.Text(), nullable=True))
    op.add_column('approvals', sa.Column('taint', sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False))
    op.add_column('conversations', sa.Column('grants', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False))
    op.add_column('conversations', sa.Column('taint', sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False))
    op.add_column('tasks', sa.Column('grants', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False))
    op.drop_index('ix_runs_unsettled', table_name='runs')
    op.create_index('ix_runs_unsettled', 'runs', ['completed_at'], unique=False, postgresql_where=sa.text("(task_id IS NOT NULL OR trigger = 'slack') AND completed_at IS NOT NULL AND settled_at IS NULL"))


def downgrade() -> None:
    """Take the schema back."""
    op.drop_column('tasks', 'grants')
    op.drop_column('conversations', 'taint')
    op.drop_column('conversations', 'grants')
    op.drop_column('approvals', 'taint')
    op.drop_column('approvals', 'reason')
    op.drop_table('approval_links')
    op.drop_index('ix_slack_threads_conversation', table_name='slack_threads')
    op.drop_table('slack_threads')
    op.drop_index('ix_oauth_states_created_at', table_name='oauth_states')
    op.drop_table('oauth_states')
    op.drop_index('ix_mail_sends_account', table_name='mail_sends')
    op.drop_table('mail_sends')
    op.drop_table('identities')
    op.drop_table('connections')
    op.drop_index('ix_slack_receipts_received_at', table_name='slack_receipts')
    op.drop_table('slack_receipts')
    op.drop_index('ix_slack_messages_due_at', table_name='slack_messages', postgresql_where=sa.text('due_at IS NOT NULL'))
    op.drop_table('slack_messages')
    op.drop_index('ix_runs_unsettled', table_name='runs')
    op.create_index('ix_runs_unsettled', 'runs', ['completed_at'], unique=False, postgresql_where=sa.text('task_id IS NOT NULL AND completed_at IS NOT NULL AND settled_at IS NULL'))
