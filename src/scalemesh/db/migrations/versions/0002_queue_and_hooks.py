"""Push hooks, turns of teams in the queue, and blobs that have been collected."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("projects", sa.Column("hook_secret", sa.LargeBinary(), nullable=True))
    op.add_column("teams", sa.Column("turn", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("blobs", sa.Column("collected_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "hook_deliveries",
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("delivery", sa.String(length=64), nullable=False),
        sa.Column("deployment_id", sa.String(length=40), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("hook_deliveries_project_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "delivery", name=op.f("hook_deliveries_pkey")),
    )


def downgrade() -> None:
    op.drop_table("hook_deliveries")
    op.drop_column("blobs", "collected_at")
    op.drop_column("teams", "turn")
    op.drop_column("projects", "hook_secret")
