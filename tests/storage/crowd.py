"""A PostgreSQL database with 10⁵ messages, distributed as in a real application: made by a few set-wise statements.

Application 1 has 2,000 users, 4,000 private dialogs, 200 groups of 50, a group of 2,000 members and 20 broadcasts; the
first private dialog has 40,000 messages, the large group 20,000, and one reader has left 5,000 gaps in it.
"""

from __future__ import annotations

import asyncpg

from voxcube.server.storage import migrate

USERS = 2_000
LONG = f"{1:024x}"  # private dialog of users 1 and 2: 40,000 messages
LARGE = f"{0x20000:024x}"  # group of all users: 20,000 messages
GROUP = f"{0x10001:024x}"  # group of 50
BROADCAST = f"{0x30001:024x}"
READER = 7  # has left gaps in LARGE
GAPS = 5_000
TABLES = (
    *("messages", "message_ids", "members", "dialogs", "users", "tokens", "receipts", "reactions", "hidden_messages"),
    *("contacts", "offline_messages", "presence", "search_dialogs", "message_texts", "user_tags", "last_activity"),
    *("privacy_lists", "privacy_defaults"),
)
_ID = "lpad(to_hex({}), 24, '0')"

# (first number, last number, type, messages in each)
_DIALOGS = ((1, 1, 3, 40_000), (2, 11, 3, 2_000), (12, 4_000, 3, 3), (0x10001, 0x100C8, 2, 40))
_FILL = (
    "INSERT INTO apps SELECT n, 'app', 'key' || n, 's', 'admin' || n, '{}', 0 FROM generate_series(1, 2) AS n",
    (
        f"INSERT INTO users (id, app_id, login, login_key, email, email_key, full_name, name_key, phone, is_guest,"
        f" created_at, updated_at, last_request_at) SELECT n, 1 + n / {USERS + 1}, 'user' || n, 'user'"
        f" || n, 'u' || n ||"
        " '@x.org', 'u' || n || '@x.org', 'User ' || n, 'user ' || n, '+49' || n, n % 50 = 0, n, n, n"
        f" FROM generate_series(1, {USERS + 500}) AS n"
    ),
    "INSERT INTO user_tags SELECT id, 'tag' || id % 20, app_id FROM users",
    (
        "INSERT INTO tokens (token_hash, id, app_id, user_id, expires_at, created_at, updated_at, fixed)"
        f" SELECT md5(n::text) || md5(n::text), n, 1, 1 + n % {USERS}, 2000000000 + n, 0, 0, false"
        " FROM generate_series(1, 20000) AS n"
    ),
    *(
        f"INSERT INTO dialogs (id, app_id, type, owner_id, pair, name, created_at, updated_at, seq, live, last_seq,"
        f" last_date_sent, copied) SELECT {_ID.format('n')}, 1, {kind}, 1 + n % {USERS},"
        f" CASE WHEN {kind} = 3 THEN (1 + n % {USERS}) || ':' || n END, 'Dialog ' || n, n, 1000000 +"
        f" {size}, {size}, {size},"
        f" {size}, 1000 + {size}, false FROM generate_series({first}, {last}) AS n"
        for first, last, kind, size in (*_DIALOGS, (0x20000, 0x20000, 2, 20_000), (0x30001, 0x30014, 1, 100))
    ),
    # Two people of each private dialog; 50 of each group; everybody in the large one; readers of broadcasts.
    *(
        "INSERT INTO members (dialog_id, user_id, app_id, type, active, admin, hidden, muted,"
        " joined_at, settled, copied,"
        f" listed_at, activity) SELECT d.id, 1 + (x * {step} + ('x' || right(d.id,"
        f" 8))::bit(32)::bigint - 1) % {USERS}, 1,"
        f" d.type, {active}, x = 1, false, false, 0, d.live / 2, d.seq < 100, d.updated_at, 1000 + d.seq"
        f" FROM dialogs AS d CROSS JOIN generate_series(0, {count}) AS x WHERE d.type = {kind} AND {which}"
        " ON CONFLICT DO NOTHING"
        for kind, count, step, which, active in (
            (3, 1, 1, "true", "true"),
            (2, 49, 7, f"d.id <> '{LARGE}'", "true"),
            (2, USERS - 1, 1, f"d.id = '{LARGE}'", "true"),
            (1, 199, 3, "true", "false"),
        )
    ),
    (
        "INSERT INTO messages (dialog_id, seq, id, app_id, sender_id, recipient_id, body, properties,"
        " date_sent, created_at,"
        f" updated_at, edited_at) SELECT d.id, n, substr(d.id, 8) || lpad(to_hex(n), 7, '0'), 1,"
        f" CASE WHEN d.id = '{LONG}' THEN 1 + n % 2 ELSE 1 + n % {USERS} END, 0, 'hello number ' || n"
        f" || repeat(' word', (n % 9)::int),"
        ' \'{"k": "v"}\', 1000 + n, 1000000 + n, CASE WHEN n % 100 = 0 THEN 1000001 + n ELSE 1000000 + n END, NULL'
        " FROM dialogs AS d CROSS JOIN LATERAL generate_series(1, d.seq) AS n"
    ),
    (
        "INSERT INTO message_ids (app_id, id, dialog_id, seq, sender_id)"
        " SELECT app_id, id, dialog_id, seq, sender_id FROM messages"
    ),
    (
        "INSERT INTO receipts SELECT dialog_id, user_id, k, 1, greatest(1, settled) FROM members CROSS JOIN"
        f" generate_series(1, 2) AS k WHERE NOT (dialog_id = '{LARGE}' AND user_id = {READER})"
    ),
    f"INSERT INTO receipts SELECT '{LARGE}', {READER}, 2, 2 * n, 2 * n FROM generate_series(1, {GAPS}) AS n",
    f"INSERT INTO hidden_messages SELECT '{LONG}', 1, 20 * n FROM generate_series(1, 1000) AS n",
    (
        f"INSERT INTO reactions SELECT '{LARGE}', 1 + n / 20, 'r' || n % 3, 1 + n % {USERS}, n FROM"
        f" generate_series(1, 20000)"
        " AS n ON CONFLICT DO NOTHING"
    ),
    (
        "INSERT INTO contacts (user_id, contact_id, app_id, name, group_names, state, listed) SELECT 1 + n % 1000,"
        f" 1 + (n * 7) % {USERS}, 1, 'c', '[]', 3, true FROM generate_series(1, 20000) AS n ON CONFLICT DO NOTHING"
    ),
    (
        f"INSERT INTO offline_messages SELECT 1 + n % {USERS}, n, 'm' || n, 1, '<', '>', n FROM"
        f" generate_series(1, 5000) AS n"
    ),
    "INSERT INTO nodes SELECT 'node' || n, 2000000000 FROM generate_series(1, 2) AS n",
    "INSERT INTO presence SELECT n, 'node' || 1 + n % 2, 1, 1 FROM generate_series(1, 500) AS n",
    f"INSERT INTO last_activity SELECT n, n FROM generate_series(1, {USERS}) AS n",
    "INSERT INTO privacy_lists SELECT n, 'list', 1, '[]' FROM generate_series(1, 500) AS n",
    "INSERT INTO privacy_defaults SELECT n, 1, 'list' FROM generate_series(1, 500) AS n",
    "INSERT INTO search_dialogs SELECT id, row_number() OVER (), seq - 64 FROM dialogs WHERE seq >= 2000",
    (
        "INSERT INTO message_texts SELECT (s.number << 32) + m.seq, m.body FROM search_dialogs AS s JOIN messages AS m"
        " ON m.dialog_id = s.dialog_id AND m.seq <= s.upto AND m.seq % 4 = 0"
    ),
    "INSERT INTO counters VALUES ('generation', 1), ('users', 5000) ON CONFLICT DO NOTHING",
)


async def fill(url: str) -> None:
    """Fills a fresh database; nothing has statistics afterwards, and nothing will get them by itself."""
    await migrate.upgrade(url)
    connection = await asyncpg.connect(url)
    try:
        for table in TABLES:
            await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        await connection.execute("SET synchronous_commit = off")
        for statement in _FILL:
            await connection.execute(statement)
    finally:
        await connection.close()
