"""Which error of a database means what: one table for PostgreSQL's SQLSTATE, one for SQLite's result codes.

What matters is whose fault it is. A value that the database refuses is refused for good, and its sender gets an error.
After an outage nothing is acknowledged, and the client sends again. Whatever is in no table is an outage: a client that
sends again loses nothing, one that gets an error gives its message up.
"""

from __future__ import annotations

from enum import Enum, auto


class Kind(Enum):
    """What an error means for the transaction that met it."""

    OUTAGE = auto()  # away, read-only, full, out of time or rights: later it may work
    AGAIN = auto()  # it met another transaction: at once it may work
    UNIQUE = auto()  # a key is taken
    DATA = auto()  # these values fail every time


#: By SQLSTATE class (its first two characters), https://www.postgresql.org/docs/current/errcodes-appendix.html.
SQLSTATE_CLASSES: dict[str, Kind] = {
    "03": Kind.OUTAGE,  # statement not yet complete
    "08": Kind.OUTAGE,  # connection
    "09": Kind.OUTAGE,  # triggered action: a trigger that the operator has made
    "0A": Kind.OUTAGE,  # feature not supported: an extension or a proxy between
    "0B": Kind.OUTAGE,  # invalid transaction initiation
    "0F": Kind.OUTAGE,  # locator
    "0L": Kind.OUTAGE,  # invalid grantor
    "0P": Kind.OUTAGE,  # invalid role
    "0Z": Kind.OUTAGE,  # diagnostics
    "10": Kind.OUTAGE,  # XQuery
    "20": Kind.DATA,  # case not found
    "21": Kind.DATA,  # cardinality: more rows than a statement of ours expects
    "22": Kind.DATA,  # data: a value out of range, an invalid character
    "23": Kind.DATA,  # integrity constraint
    "24": Kind.OUTAGE,  # invalid cursor state
    "25": Kind.OUTAGE,  # invalid transaction state: read-only, idle for too long
    "26": Kind.OUTAGE,  # invalid statement name: a pooler that gave the session away
    "27": Kind.OUTAGE,  # triggered data change
    "28": Kind.OUTAGE,  # invalid authorisation
    "2B": Kind.OUTAGE,  # dependent privileges
    "2D": Kind.OUTAGE,  # invalid transaction termination
    "2F": Kind.OUTAGE,  # routine
    "34": Kind.OUTAGE,  # invalid cursor name
    "38": Kind.OUTAGE,  # external routine
    "39": Kind.OUTAGE,  # external routine invocation
    "3B": Kind.OUTAGE,  # savepoint
    "3D": Kind.OUTAGE,  # invalid catalogue: the database is gone
    "3F": Kind.OUTAGE,  # invalid schema
    "40": Kind.AGAIN,  # transaction rollback: deadlock, serialisation
    "42": Kind.OUTAGE,  # access rule: no right, no table (see below for what is wrong with a statement)
    "44": Kind.OUTAGE,  # check option of a view
    "53": Kind.OUTAGE,  # resources: disk, memory, connections
    "54": Kind.DATA,  # program limit: a value too large for an index
    "55": Kind.OUTAGE,  # object not in prerequisite state
    "57": Kind.OUTAGE,  # operator intervention: shutdown, statement_timeout
    "58": Kind.OUTAGE,  # system: input and output
    "72": Kind.AGAIN,  # snapshot too old
    "F0": Kind.OUTAGE,  # configuration file
    "HV": Kind.OUTAGE,  # foreign data wrapper
    "P0": Kind.OUTAGE,  # PL/pgSQL: an exception of a function that the operator has made
    "XX": Kind.OUTAGE,  # internal: corruption
}
#: Where single states differ from their class.
SQLSTATES: dict[str, Kind] = {
    "23505": Kind.UNIQUE,
    "40002": Kind.DATA,  # integrity constraint at the commit
    "40003": Kind.OUTAGE,  # nobody knows whether the statement was completed
    "55P03": Kind.AGAIN,  # lock_timeout, NOWAIT
    # A statement of ours that cannot be: it fails every time.
    **dict.fromkeys(("42601", "42702", "42725", "42803", "42804", "42846", "42P08", "42P18"), Kind.DATA),
}

#: By primary result code, https://www.sqlite.org/rescode.html.
RESULT_CODES: dict[int, Kind] = {
    1: Kind.DATA,  # ERROR: a statement of ours that cannot be, malformed JSON
    2: Kind.OUTAGE,  # INTERNAL
    3: Kind.OUTAGE,  # PERM
    4: Kind.OUTAGE,  # ABORT
    5: Kind.AGAIN,  # BUSY
    6: Kind.AGAIN,  # LOCKED
    7: Kind.OUTAGE,  # NOMEM
    8: Kind.OUTAGE,  # READONLY
    9: Kind.OUTAGE,  # INTERRUPT
    10: Kind.OUTAGE,  # IOERR
    11: Kind.OUTAGE,  # CORRUPT
    12: Kind.OUTAGE,  # NOTFOUND
    13: Kind.OUTAGE,  # FULL
    14: Kind.OUTAGE,  # CANTOPEN
    15: Kind.OUTAGE,  # PROTOCOL
    16: Kind.OUTAGE,  # EMPTY
    17: Kind.AGAIN,  # SCHEMA
    18: Kind.DATA,  # TOOBIG
    19: Kind.DATA,  # CONSTRAINT
    20: Kind.DATA,  # MISMATCH
    21: Kind.OUTAGE,  # MISUSE: the database is closed
    22: Kind.OUTAGE,  # NOLFS
    23: Kind.OUTAGE,  # AUTH
    25: Kind.DATA,  # RANGE
    26: Kind.OUTAGE,  # NOTADB
}
_UNIQUE = {1555, 2067, 2579}  # CONSTRAINT_PRIMARYKEY, CONSTRAINT_UNIQUE, CONSTRAINT_ROWID


def of_sqlstate(state: str | None) -> Kind:
    """What PostgreSQL means by a state; None where the error has none."""
    if state is None:
        return Kind.OUTAGE
    return SQLSTATES.get(state) or SQLSTATE_CLASSES.get(state[:2], Kind.OUTAGE)


def of_result_code(code: int | None) -> Kind:
    """What SQLite means by an extended result code; None where the error has none."""
    if code is None:
        return Kind.OUTAGE
    return Kind.UNIQUE if code in _UNIQUE else RESULT_CODES.get(code & 0xFF, Kind.OUTAGE)
