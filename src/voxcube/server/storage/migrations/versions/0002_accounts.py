"""Accounts: guests, tags, and indexes for every way to look a user up."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tokens", sa.Column("fixed", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("users", sa.Column("name_key", sa.Text(), nullable=True))
    op.create_table(
        "user_tags",
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "tag"),
        sqlite_with_rowid=False,
    )
    _fill()
    op.create_index("user_tags_tag", "user_tags", ["app_id", "tag", "user_id"])
    op.create_index("users_name", "users", ["app_id", "name_key"])
    for name in ("phone", "facebook_id", "twitter_id", "external_user_id"):
        given = sa.text(f"{name} IS NOT NULL")
        op.create_index(f"users_{name}", "users", ["app_id", name], sqlite_where=given, postgresql_where=given)
    op.create_index(
        "users_guests",
        "users",
        ["created_at"],
        sqlite_where=sa.text("is_guest = 1"),
        postgresql_where=sa.text("is_guest"),
    )


def _fill() -> None:
    """Names without case are made by us: the two databases fold letters beyond ASCII differently."""
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, app_id, full_name, user_tags FROM users")).all()
    names = [{"id": row.id, "key": row.full_name.casefold()} for row in rows if row.full_name is not None]
    tags = [
        {"id": row.id, "app": row.app_id, "tag": tag}
        for row in rows
        if row.user_tags
        for tag in dict.fromkeys(row.user_tags.split(","))
    ]
    if names:
        connection.execute(sa.text("UPDATE users SET name_key = :key WHERE id = :id"), names)
    if tags:
        connection.execute(sa.text("INSERT INTO user_tags (user_id, tag, app_id) VALUES (:id, :tag, :app)"), tags)
