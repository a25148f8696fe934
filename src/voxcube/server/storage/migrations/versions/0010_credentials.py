"""Administration keys are stored as hashes; accounts count the changes of their passwords."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("password_version", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.execute("ALTER TABLE apps RENAME COLUMN admin_api_key TO admin_key_hash")
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        op.execute("PRAGMA secure_delete = ON")  # or the keys would stay readable in unused parts of the file
    rows = connection.execute(sa.text("SELECT id, admin_key_hash FROM apps")).all()
    hashed = [{"id": row[0], "hash": hashlib.sha256(row[1].encode()).hexdigest()} for row in rows]
    if hashed:
        connection.execute(sa.text("UPDATE apps SET admin_key_hash = :hash WHERE id = :id"), hashed)
