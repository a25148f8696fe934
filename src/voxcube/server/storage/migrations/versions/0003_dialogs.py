"""Dialogs: what lists, roles and settings need."""

from typing import Any

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
    for table, name, kind in (
        ("dialogs", "copied", "flag"),
        ("dialogs", "dropped", "flag"),
        ("members", "copied", "flag"),
        ("members", "listed_at", "number"),
        ("members", "activity", "number"),
    ):
        op.add_column(table, _column(name, kind))
    _fill_copies()
    for name in ("listed_at", "activity"):
        op.create_index(
            f"members_{name}",
            "members",
            ["user_id", "copied", name, "dialog_id", "active", "hidden", "type"],
            sqlite_where=sa.text("active = 1 AND hidden = 0 AND type <> 1"),
            postgresql_where=sa.text("active AND NOT hidden AND type <> 1"),
        )
    op.create_index(
        "dialogs_dropped",
        "dialogs",
        ["id", "dropped"],
        sqlite_where=sa.text("dropped = 1"),
        postgresql_where=sa.text("dropped"),
    )
    op.create_index(
        "members_admins",
        "members",
        ["dialog_id", "admin"],
        sqlite_where=sa.text("admin = 1"),
        postgresql_where=sa.text("admin"),
    )


def _column(name: str, kind: str) -> "sa.Column[Any]":
    if kind == "flag":
        return sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False)
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)


def _fill_copies() -> None:
    """Exact copies for dialogs of up to a hundred member rows (storage/inbox.py)."""
    connection = op.get_bind()
    connection.execute(
        sa.text(
            "UPDATE dialogs SET copied = true WHERE type <> 1"
            " AND (SELECT count(*) FROM members WHERE members.dialog_id = dialogs.id) <= 100"
        )
    )
    connection.execute(
        sa.text(
            "UPDATE members SET copied = true, listed_at = d.updated_at,"
            " activity = coalesce(d.last_date_sent, d.created_at / 1000)"
            " FROM dialogs AS d WHERE d.id = members.dialog_id AND d.copied"
        )
    )
