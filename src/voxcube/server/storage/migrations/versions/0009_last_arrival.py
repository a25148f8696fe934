"""Dialogs remember when their newest message arrived, so that lists are in order within one second."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, name in (("dialogs", "last_arrival"), ("members", "arrival")):
        op.add_column(table, sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    # The nearest time that is known of older dialogs, in microseconds: that of the last change.
    op.execute("UPDATE dialogs SET last_arrival = updated_at * 1000")
    op.execute(
        "UPDATE members SET arrival = CASE WHEN d.last_date_sent IS NULL THEN d.created_at ELSE d.updated_at END * 1000"
        " FROM dialogs AS d WHERE d.id = members.dialog_id AND members.copied"
    )
    op.drop_index("members_activity", "members")
    op.create_index(
        "members_activity",
        "members",
        ["user_id", "copied", "activity", "arrival", "dialog_id", "active", "hidden", "type"],
        sqlite_where=sa.text("active = 1 AND hidden = 0 AND type <> 1"),
        postgresql_where=sa.text("active AND NOT hidden AND type <> 1"),
    )
