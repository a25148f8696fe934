"""The tables. Hot tables carry the dialog or user id first in the key; every row belongs to one application.

Units: `created_at` and `updated_at` of dialogs and messages are milliseconds since the epoch, all other times are
seconds. JSON is text. Booleans are real booleans on PostgreSQL and 0/1 on SQLite.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()


def _int(name: str, default: int | None = None, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null, server_default=None if default is None else text(str(default)))


def _text(name: str, *, null: bool = True) -> Column[str]:
    return Column(name, Text, nullable=null)


def _only(condition: str, sqlite: str | None = None) -> dict[str, Any]:
    """Makes an index one of the rows that meet the condition, which must be written as the statements write it."""
    return {"sqlite_where": text(sqlite or condition), "postgresql_where": text(condition)}


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text("false"))


# One row: `generation` rises with every change made outside a server (the CLI), so that running ones notice;
# `users` and the like hand out integer ids.
counters = Table("counters", metadata, Column("name", Text, primary_key=True), _int("value", 0))

apps = Table(
    "apps",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    _text("name", null=False),
    _text("auth_key", null=False),
    _text("auth_secret", null=False),
    _text("admin_key_hash", null=False),  # SHA-256 of a random key
    _text("settings", null=False),  # JSON object
    _int("created_at"),
    UniqueConstraint("auth_key"),
    UniqueConstraint("admin_key_hash"),
)

users = Table(
    "users",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    _int("app_id"),
    _text("login"),
    _text("login_key"),  # its comparison key (core.precis), unique in the application
    _text("email"),
    _text("email_key"),
    _text("password_hash"),
    _int("password_version", 0),  # rises with every change of the password
    _text("full_name"),
    _text("name_key"),  # of the full name
    _text("phone"),
    _text("website"),
    _text("custom_data"),
    _text("avatar"),
    _text("external_id"),
    _text("facebook_id"),
    _text("twitter_id"),
    _text("user_tags"),  # comma-separated, as shown; looked for in the table of the same name
    _int("external_user_id", null=True),
    _int("blob_id", null=True),
    _int("timezone", null=True),
    _flag("is_guest"),
    _int("created_at"),
    _int("updated_at"),
    _int("last_request_at", null=True),
    UniqueConstraint("app_id", "login_key"),
    UniqueConstraint("app_id", "email_key"),
    UniqueConstraint("app_id", "external_id"),
    *(
        Index(f"users_{name}", "app_id", name, **_only(f"{name} IS NOT NULL"))
        for name in ("phone", "facebook_id", "twitter_id", "external_user_id")
    ),
    Index("users_name", "app_id", "name_key"),
    Index("users_guests", "created_at", **_only("is_guest", "is_guest = 1")),
)

user_tags = Table(
    "user_tags",
    metadata,
    _int("user_id"),
    _text("tag", null=False),
    _int("app_id"),
    PrimaryKeyConstraint("user_id", "tag"),
    Index("user_tags_tag", "app_id", "tag", "user_id"),
    sqlite_with_rowid=False,
)

# Session tokens, stored as SHA-256 in hex. `user_id` 0 = application session.
tokens = Table(
    "tokens",
    metadata,
    Column("token_hash", Text, primary_key=True),
    _int("id"),
    _int("app_id"),
    _int("user_id"),
    _int("expires_at"),
    _int("created_at"),
    _int("updated_at"),
    _flag("fixed"),  # its end is not moved by requests (guests)
    UniqueConstraint("id"),
    Index("tokens_user", "user_id", "expires_at"),
    Index("tokens_expiry", "expires_at"),
)

# Signatures with a nonce that have opened a session, until their time is over (rest §3.2).
used_signatures = Table(
    "used_signatures",
    metadata,
    _int("app_id"),
    Column("signature", Text, nullable=False),
    _int("expires_at"),
    PrimaryKeyConstraint("app_id", "signature"),
    Index("used_signatures_expiry", "expires_at"),
)

dialogs = Table(
    "dialogs",
    metadata,
    Column("id", Text, primary_key=True),
    _int("app_id"),
    Column("type", SmallInteger, nullable=False),  # 1 broadcast, 2 group, 3 private, 4 public
    _int("owner_id"),
    _text("pair"),  # "lower:higher" user ids of a private dialog
    _text("name"),
    _text("description"),
    _text("photo"),
    _text("extensions"),  # JSON
    _text("data"),  # JSON
    _text("permissions"),  # JSON
    _text("pinned"),  # JSON list of message ids
    _int("created_at"),  # ms
    _int("updated_at"),  # ms
    _int("seq", 0),  # of the newest message ever stored here
    _int("live", 0),  # messages not deleted for everyone
    _int("last_seq", 0),  # of the newest live message, 0 = none
    _int("last_date_sent", null=True),
    _int("last_arrival", 0),  # µs, server time: when the newest message came; the order of lists within one second
    _int("cleared", 0),  # messages up to this seq are gone for everyone (and being erased)
    _int("members_version", 0),  # raised by every transaction that changes who is a member: stale facts are noticed
    _int("changes", 0),  # edits, deletions and reactions that were told: the order in which other nodes tell them
    _flag("copied"),  # whether the member rows have copies for their lists (inbox.py)
    _flag("dropped"),  # whether they had, and will have again
    UniqueConstraint("app_id", "pair"),
    Index("dialogs_app", "app_id", "type"),
    Index("dialogs_dropped", "id", "dropped", **_only("dropped", "dropped = 1")),
)

# Rows that make a dialog part of a user's list; broadcasts are listed without one.
_SHOWN = ("active AND NOT hidden AND type <> 1", "active = 1 AND hidden = 0 AND type <> 1")

# A member row outlives leaving: receipts of former members stay, a rejoin continues.
members = Table(
    "members",
    metadata,
    _text("dialog_id", null=False),
    _int("user_id"),
    _int("app_id"),
    Column("type", SmallInteger, nullable=False),  # the dialog's, so that a user's dialogs are found without a join
    _flag("active"),
    _flag("admin"),
    _flag("hidden"),
    _flag("muted"),
    _int("joined_at"),
    _int("handed", 0),  # highest seq handed to one of this user's sessions
    _int("settled", 0),  # live messages that are own, read, deleted for me, or before `base`
    _int("base", 0),  # messages up to this seq count as settled from the start
    _int("hidden_before", 0),  # "clear history for me": messages up to this seq are gone for this user
    _flag("copied"),  # whether the next three are copies of the dialog's `updated_at` and activity (inbox.py)
    _int("listed_at", 0),  # ms
    _int("activity", 0),
    _int("arrival", 0),
    PrimaryKeyConstraint("dialog_id", "user_id"),
    Index("members_user", "user_id", "active", "type"),
    Index("members_admins", "dialog_id", "admin", **_only("admin", "admin = 1")),
    # With what their condition is about, so that SQLite need not look at the rows.
    *(
        Index(
            f"members_{keys[0]}", "user_id", "copied", *keys, "dialog_id", "active", "hidden", "type", **_only(*_SHOWN)
        )
        for keys in (("listed_at",), ("activity", "arrival"))
    ),
    sqlite_with_rowid=False,
)

messages = Table(
    "messages",
    metadata,
    _text("dialog_id", null=False),
    _int("seq"),
    _text("id", null=False),
    _int("app_id"),
    _int("sender_id"),
    _int("recipient_id"),  # 0 outside private dialogs
    _text("body", null=False),
    _text("properties"),  # JSON object of custom parameters
    _text("attachments"),  # JSON list
    _text("extras"),  # XML of the stanza's other children, for a late delivery
    _int("date_sent"),  # as the client says
    _int("created_at"),  # ms, server time
    _int("updated_at"),  # ms
    _int("edited_at", null=True),
    _flag("quiet"),  # made by REST and not delivered: it is only in the history
    _int("destroy_after", null=True),  # seconds that it may be seen for (realtime §9.4)
    _int("expires_at", null=True),  # when it destroys itself
    PrimaryKeyConstraint("dialog_id", "seq"),
    Index("messages_date", "dialog_id", "date_sent", "seq"),
    Index("messages_changed", "dialog_id", "updated_at", "seq", **_only("updated_at <> created_at")),
    Index("messages_destroy", "dialog_id", "seq", **_only("destroy_after IS NOT NULL")),
    Index("messages_expiry", "expires_at", **_only("expires_at IS NOT NULL")),
)

# What is gone for everyone, in dialogs that may be gone themselves, and is erased in small steps: messages up to a seq.
erasing = Table(
    "erasing",
    metadata,
    _text("dialog_id", null=False),
    _int("app_id"),
    _int("upto"),
    PrimaryKeyConstraint("dialog_id"),
    sqlite_with_rowid=False,
)

# Client-made message ids, unique per application: a resend is recognised here. The id of a deleted message stays for a
# while, so that a late resend does not bring the message back.
message_ids = Table(
    "message_ids",
    metadata,
    _int("app_id"),
    _text("id", null=False),
    _text("dialog_id", null=False),
    _int("seq"),
    _int("sender_id"),
    _int("removed_at", null=True),  # when the message was deleted for everyone
    PrimaryKeyConstraint("app_id", "id"),
    Index("message_ids_removed", "removed_at", **_only("removed_at IS NOT NULL")),
    sqlite_with_rowid=False,
)

# Deleted users whose messages are being erased, in small steps.
erased_users = Table(
    "erased_users", metadata, _int("app_id"), Column("user_id", BigInteger, primary_key=True, autoincrement=False)
)

# What a member has had: intervals of seq, nearly always one row. kind 1 = delivered, 2 = read.
receipts = Table(
    "receipts",
    metadata,
    _text("dialog_id", null=False),
    _int("user_id"),
    _int("kind"),
    _int("low"),
    _int("high"),
    PrimaryKeyConstraint("dialog_id", "user_id", "kind", "low"),
    sqlite_with_rowid=False,
)

# "Delete for me": sparse.
hidden_messages = Table(
    "hidden_messages",
    metadata,
    _text("dialog_id", null=False),
    _int("user_id"),
    _int("seq"),
    PrimaryKeyConstraint("dialog_id", "user_id", "seq"),
    Index(
        "hidden_messages_seq", "dialog_id", "seq", "user_id"
    ),  # who has hidden a message that is deleted for everyone
    sqlite_with_rowid=False,
)

reactions = Table(
    "reactions",
    metadata,
    _text("dialog_id", null=False),
    _int("seq"),
    _text("reaction", null=False),
    _int("user_id"),
    _int("created_at"),  # ms
    PrimaryKeyConstraint("dialog_id", "seq", "reaction", "user_id"),
    Index("reactions_user", "user_id"),
    sqlite_with_rowid=False,
)

# How far a dialog's messages are in the search index; `number` stands for the dialog in there. Short dialogs have none.
search_dialogs = Table(
    "search_dialogs",
    metadata,
    _text("dialog_id", null=False),
    _int("number"),
    _int("upto", 0),  # messages up to this seq
    PrimaryKeyConstraint("dialog_id"),
    UniqueConstraint("number"),
    sqlite_with_rowid=False,
)

# Texts of messages, to be found by any part of them. Not among the others: on SQLite it is an FTS5 table, on PostgreSQL
# one with an index of trigrams. `rowid` is the dialog's number, 32 bits further up, plus `seq`.
message_texts = Table("message_texts", MetaData(), Column("rowid", BigInteger, primary_key=True), _text("body"))

# 1-1 messages that are not kept in the history, waiting for a user without a session. `seq` only ever grows for a user.
offline_messages = Table(
    "offline_messages",
    metadata,
    _int("user_id"),
    _int("seq"),
    _text("message_id", null=False),
    _int("app_id"),
    _text("head", null=False),  # the stanza before and after the receiver's address
    _text("tail", null=False),
    _int("created_at"),  # ms
    PrimaryKeyConstraint("user_id", "seq"),
    UniqueConstraint("user_id", "message_id"),
)

# Privacy lists (XEP-0016), and which of a user's is the default; a session's active list is no row.
privacy_lists = Table(
    "privacy_lists",
    metadata,
    _int("user_id"),
    _text("name", null=False),
    _int("app_id"),
    _text("rules", null=False),  # JSON list of [order, deny, type, value, kinds…] as they were written
    PrimaryKeyConstraint("user_id", "name"),
)
privacy_defaults = Table(
    "privacy_defaults",
    metadata,
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    _int("app_id"),
    _text("name", null=False),
)

# Contact lists (RFC 6121 §2): what a user keeps about another, and what hangs between the two.
contacts = Table(
    "contacts",
    metadata,
    _int("user_id"),
    _int("contact_id"),
    _int("app_id"),
    _text("name", null=False),
    _text("group_names", null=False),  # JSON list
    _int("state"),  # bits as in core/contacts.py
    _flag("listed"),  # else it only keeps the contact's request
    _text("request"),  # XML of what came with the request that waits
    PrimaryKeyConstraint("user_id", "contact_id"),
    Index("contacts_contact", "contact_id"),
    sqlite_with_rowid=False,
)

# When the last session of a user ended, or the first one came.
last_activity = Table(
    "last_activity",
    metadata,
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    _int("at"),
)

# Who is online: rows of a node whose lease has run out count as offline.
presence = Table(
    "presence",
    metadata,
    _int("user_id"),
    _text("node", null=False),
    _int("sessions"),
    _int("active"),
    PrimaryKeyConstraint("user_id", "node"),
    Index("presence_node", "node"),
    sqlite_with_rowid=False,
)
nodes = Table("nodes", metadata, Column("node", Text, primary_key=True), _int("lease_until"))
job_leases = Table(
    "job_leases", metadata, Column("name", Text, primary_key=True), _text("node", null=False), _int("lease_until")
)
