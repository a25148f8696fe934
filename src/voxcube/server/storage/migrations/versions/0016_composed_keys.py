"""Logins, e-mail addresses and names are compared in one Unicode form; keys were case-folded as they had been typed."""

import unicodedata
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

ROWS = 5000  # read at once


def upgrade() -> None:
    connection = op.get_bind()
    page = sa.text(
        "SELECT id, app_id, login, login_key, email, email_key, full_name, name_key FROM users"
        " WHERE id > :after ORDER BY id LIMIT :rows"
    )
    after = 0
    while rows := connection.execute(page, {"after": after, "rows": ROWS}).all():
        after = rows[-1].id
        for row in rows:
            for text, column in ((row.login, "login_key"), (row.email, "email_key"), (row.full_name, "name_key")):
                if text is not None and (key := _key(text)) != getattr(row, column):
                    _rewrite(connection, row, column, key)


def _rewrite(connection: sa.Connection, row: sa.Row[Any], column: str, key: str) -> None:
    """Unless another account has the key: two accounts whose logins now are one stay apart, the older one gets it."""
    named = {"app": row.app_id, "id": row.id, "key": key}
    if column != "name_key":
        holder = sa.text(f"SELECT 1 FROM users WHERE app_id = :app AND {column} = :key")
        if connection.execute(holder, named).first() is not None:
            return
    connection.execute(sa.text(f"UPDATE users SET {column} = :key WHERE app_id = :app AND id = :id"), named)


def _key(text: str) -> str:
    """As `core.precis.comparison_key` when this was written."""
    if text.isascii() or len(text) > 1024:
        return text.casefold()
    mapped = ""
    for char in text:
        kind, _, code_point = unicodedata.decomposition(char).partition(" ")
        if unicodedata.category(char) == "Zs":
            mapped += " "
        else:
            mapped += chr(int(code_point, 16)) if kind in ("<wide>", "<narrow>") else char
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", mapped).casefold())
