"""Deployments that serve the build of another one."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("deployments", sa.Column("inputs", sa.String(length=64), nullable=True))
    op.add_column("deployments", sa.Column("reused_from", sa.String(length=40), nullable=True))
    op.create_index("deployments_by_tree", "deployments", ["project_id", "tree"])


def downgrade() -> None:
    op.drop_index("deployments_by_tree", "deployments")
    op.drop_column("deployments", "reused_from")
    op.drop_column("deployments", "inputs")
