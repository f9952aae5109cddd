"""Caches of builds that share no disk."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("caches", sa.Text(), nullable=True))
    op.create_table(
        "caches",
        sa.Column("project_id", sa.String(40), nullable=False),
        sa.Column("trust", sa.String(16), nullable=False),
        sa.Column("entry", sa.String(80), nullable=False),
        sa.Column("team_id", sa.String(40), nullable=False),
        sa.Column("archives", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "trust", "entry"),
    )
    op.create_index(op.f("caches_team_id_index"), "caches", ["team_id"])


def downgrade() -> None:
    op.drop_table("caches")
    op.drop_column("attempts", "caches")
