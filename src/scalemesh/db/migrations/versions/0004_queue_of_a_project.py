"""What a project says of its own queue; the attempts that are not over, found without their history."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("projects", sa.Column("concurrency", sa.BigInteger(), nullable=True))
    op.add_column("projects", sa.Column("cancel_running", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("projects", sa.Column("skip_unaffected", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.create_index("deployments_of_project_by_state", "deployments", ["project_id", "state"])
    where = sa.text("cleaned_at IS NULL")
    op.create_index("attempts_not_cleaned", "attempts", ["dispatcher"], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    op.drop_index("attempts_not_cleaned", "attempts")
    op.drop_index("deployments_of_project_by_state", "deployments")
    op.drop_column("projects", "skip_unaffected")
    op.drop_column("projects", "cancel_running")
    op.drop_column("projects", "concurrency")
