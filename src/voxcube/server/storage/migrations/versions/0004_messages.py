"""Messages: quiet ones, those that destroy themselves, ids of deleted ones, users to be erased."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("quiet", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    for table, name in (("messages", "destroy_after"), ("messages", "expires_at"), ("message_ids", "removed_at")):
        op.add_column(table, sa.Column(name, sa.BigInteger(), nullable=True))
    for name, table, columns, given in (
        ("messages_destroy", "messages", ["dialog_id", "seq"], "destroy_after IS NOT NULL"),
        ("messages_expiry", "messages", ["expires_at"], "expires_at IS NOT NULL"),
        ("message_ids_removed", "message_ids", ["removed_at"], "removed_at IS NOT NULL"),
    ):
        condition = sa.text(given)
        op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
    op.create_table(
        "erased_users",
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id"),
    )
