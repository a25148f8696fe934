"""Dialogs: what lists, roles and settings need."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dialogs", sa.Column("cleared", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("dialogs", sa.Column("members_version", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "erasing",
        sa.Column("dialog_id", sa.Text(), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("upto", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("dialog_id"),
        sqlite_with_rowid=False,
    )
