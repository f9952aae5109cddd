"""What a project says of its own queue."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("projects", sa.Column("concurrency", sa.BigInteger(), nullable=True))
    op.add_column("projects", sa.Column("cancel_running", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("projects", sa.Column("skip_unaffected", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.create_index("deployments_of_project_by_state", "deployments", ["project_id", "state"])


def downgrade() -> None:
    op.drop_index("deployments_of_project_by_state", "deployments")
    op.drop_column("projects", "skip_unaffected")
    op.drop_column("projects", "cancel_running")
    op.drop_column("projects", "concurrency")
