"""Search: message texts, findable by any part of them. Reactions, and an index of changed messages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

from voxcube.server.storage.database import DatabaseError

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

EXTENSIONS = ("pg_trgm", "btree_gin")


def upgrade() -> None:
    op.create_table(
        "reactions",
        sa.Column("dialog_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("reaction", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("dialog_id", "seq", "reaction", "user_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("reactions_user", "reactions", ["user_id"])
    changed = sa.text("updated_at <> created_at")
    columns = ["dialog_id", "updated_at", "seq"]
    op.create_index("messages_changed", "messages", columns, sqlite_where=changed, postgresql_where=changed)
    op.create_table(
        "search_dialogs",
        sa.Column("dialog_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("upto", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("dialog_id"),
        sa.UniqueConstraint("number"),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "postgresql":
        _texts_on_postgres()
    else:
        # Which texts hold a trigram is all that is kept (no positions, no sizes): what is found is compared anyway.
        op.execute(
            "CREATE VIRTUAL TABLE message_texts"
            " USING fts5(body, tokenize = 'trigram case_sensitive 1', detail = none, columnsize = 0)"
        )


def _texts_on_postgres() -> None:
    for name in EXTENSIONS:
        try:
            op.execute(f"CREATE EXTENSION IF NOT EXISTS {name}")
        except DBAPIError as error:
            commands = " ".join(f"CREATE EXTENSION {extension};" for extension in EXTENSIONS)
            raise DatabaseError(
                f"the search needs extensions of PostgreSQL that this role may not create or that are not installed:"
                f" run {commands} in this database as a superuser ({str(error.orig).splitlines()[0]})"
            ) from None
    op.create_table(
        "message_texts",
        sa.Column("rowid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("rowid"),
    )
    # Both in one index: a word that the whole application uses is looked for in the dialogs asked for alone.
    op.execute(
        "CREATE INDEX message_texts_grams ON message_texts"
        " USING gin ((rowid >> 32), body gin_trgm_ops) WITH (gin_pending_list_limit = 1024)"
    )
