"""Changes of messages are numbered, so that every node tells them in the order of their commits."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dialogs", sa.Column("changes", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
