"""Who has hidden a message is found by the message: deleting one read all that anybody had hidden in the dialog."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("hidden_messages_seq", "hidden_messages", ["dialog_id", "seq", "user_id"])
