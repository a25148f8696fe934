"""Statements written once with SQLAlchemy Core and compiled once per backend to plain text.

The hot path never touches SQLAlchemy: a `Query` or a bulk statement is turned into text and an argument order at its
first use, and from then on the drivers get tuples. The real forks between the backends (lists as parameters, set-wise
inserts and updates, row locks) stand here and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

from sqlalchemy import Column, SelectBase, Table, Text, bindparam
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import Boolean, Integer, NullType, Numeric

Backend = Literal["sqlite", "postgresql"]
Args = Sequence[Any]

_DIALECTS = {"sqlite": SQLiteDialect_pysqlite(paramstyle="qmark"), "postgresql": PGDialect_asyncpg()}  # type: ignore[no-untyped-call]


class in_list(ColumnElement[bool]):
    """`column IN :name`, where the value of `name` is a list of any length (one parameter, one plan)."""

    inherit_cache = False
    type: Any = NullType()  # a Boolean would be written `… = 1` on SQLite, which hides the column from its index

    def __init__(self, column: ColumnElement[Any], name: str) -> None:
        self.column = column
        self.list: Any = bindparam(name, expanding=False)


@compiles(in_list, "sqlite")
def _in_list_sqlite(element: in_list, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = compiler.process(element.column, **kw), compiler.process(element.list, **kw)
    return f"{column} IN (SELECT value FROM json_each({values}))"


@compiles(in_list, "postgresql")
def _in_list_postgres(element: in_list, compiler: SQLCompiler, **kw: Any) -> str:
    kind = _array_type(element.column)
    # The cast is ours: the bind itself renders with an unknown type, which PostgreSQL takes from here.
    parameter = compiler.process(element.list, **kw).split("::")[0]
    return f"{compiler.process(element.column, **kw)} = ANY({parameter}::{kind}[])"


class among(ColumnElement[bool]):
    """`column IN (statement)`, where looking up by the column begins at what the statement gives, and never the other
    way round: an array on PostgreSQL, whose planner else walks the whole table to compare each row with the set."""

    inherit_cache = False
    type: Any = NullType()

    def __init__(self, column: ColumnElement[Any], statement: SelectBase) -> None:
        self.column = column
        self.statement = statement.scalar_subquery()


@compiles(among, "sqlite")
def _among_sqlite(element: among, compiler: SQLCompiler, **kw: Any) -> str:
    return f"{compiler.process(element.column, **kw)} IN {compiler.process(element.statement, **kw)}"


@compiles(among, "postgresql")
def _among_postgres(element: among, compiler: SQLCompiler, **kw: Any) -> str:
    return f"{compiler.process(element.column, **kw)} = ANY(ARRAY{compiler.process(element.statement, **kw)})"


def absent(statement: SelectBase) -> ColumnElement[bool]:
    """Whether the statement, a look-up of one row by its whole key, finds none; looked up for each row that is asked.

    Not NOT EXISTS, which PostgreSQL turns into a join: one that may read all of the other table first.
    """
    return statement.scalar_subquery().is_(None)


def _array_type(column: ColumnElement[Any]) -> str:
    return "bigint" if isinstance(column.type, Integer) else "boolean" if isinstance(column.type, Boolean) else "text"


class json_text(ColumnElement[str]):
    """The scalar under the key that parameter `name` gives, in a column with a JSON object; of its object `inside`, if
    given. Text as it is, numbers and booleans as JSON writes them, everything else is NULL.

    The key must have no quotes and no backslashes.
    """

    inherit_cache = False
    type: Any = Text()

    def __init__(self, column: ColumnElement[Any], name: str, inside: str = "") -> None:
        self.column = column
        self.inside = inside
        self.key: Any = bindparam(name, type_=Text())


@compiles(json_text, "sqlite")
def _json_text_sqlite(element: json_text, compiler: SQLCompiler, **kw: Any) -> str:
    def at() -> str:  # a parameter has to be rendered where it stands
        start = f"$.{element.inside}" if element.inside else "$"
        return (
            f"""{compiler.process(element.column, **kw)}, '{start}."' || {compiler.process(element.key, **kw)} || '"'"""
        )

    return (
        f"CASE json_type({at()}) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' WHEN 'object' THEN NULL"
        f" WHEN 'array' THEN NULL ELSE CAST(json_extract({at()}) AS TEXT) END"
    )


@compiles(json_text, "postgresql")
def _json_text_postgres(element: json_text, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = compiler.process(element.column, **kw), compiler.process(element.key, **kw)
    start = f"({column}::jsonb -> '{element.inside}')" if element.inside else f"{column}::jsonb"
    return f"CASE WHEN jsonb_typeof({start} -> {key}) NOT IN ('object', 'array') THEN {start} ->> {key} END"


class number_in(ColumnElement[Any]):
    """The number that a text spells in the way of JSON, NULL where it spells none."""

    inherit_cache = False
    type: Any = Numeric()

    def __init__(self, text: ColumnElement[Any]) -> None:
        self.text = text


@compiles(number_in, "sqlite")
def _number_in_sqlite(element: number_in, compiler: SQLCompiler, **kw: Any) -> str:
    valid, kind, text = (compiler.process(element.text, **kw) for _ in range(3))
    return (
        f"CASE WHEN json_valid({valid}) THEN CASE WHEN json_type({kind}) IN ('integer', 'real')"
        f" THEN CAST({text} AS NUMERIC) END END"
    )


@compiles(number_in, "postgresql")
def _number_in_postgres(element: number_in, compiler: SQLCompiler, **kw: Any) -> str:
    text = compiler.process(element.text, **kw)
    return f"CASE WHEN ({text}) ~ '^-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]{{1,3}})?$' THEN ({text})::numeric END"


class by_code_point(ColumnElement[str]):
    """A text that is compared and sorted by code points, whatever the database's language is."""

    inherit_cache = False
    type: Any = Text()

    def __init__(self, text: ColumnElement[Any]) -> None:
        self.text = text


@compiles(by_code_point, "sqlite")
def _by_code_point_sqlite(element: by_code_point, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({compiler.process(element.text, **kw)})"


@compiles(by_code_point, "postgresql")
def _by_code_point_postgres(element: by_code_point, compiler: SQLCompiler, **kw: Any) -> str:
    return f'(({compiler.process(element.text, **kw)}) COLLATE "C")'


class Query:
    """One statement and the names of its parameters; values are passed positionally in the order of `names`."""

    __slots__ = ("_compiled", "names", "statement")

    def __init__(self, statement: Any, *names: str) -> None:
        self.statement = statement
        self.names = names
        self._compiled: dict[str, tuple[str, Callable[[Args], Args]]] = {}

    def compiled(self, backend: Backend) -> tuple[str, Callable[[Args], Args]]:
        """The text for `backend`, and a function that puts the values into the driver's order."""
        found = self._compiled.get(backend)
        if found is None:
            found = self._compiled[backend] = self._compile(backend)
        return found

    def _compile(self, backend: Backend) -> tuple[str, Callable[[Args], Args]]:
        compiled = self.statement.compile(dialect=_DIALECTS[backend])
        order = list(compiled.positiontup or ())
        index = {name: position for position, name in enumerate(self.names)}
        unknown = [name for name in order if name not in index and compiled.params.get(name) is None]
        missing = [name for name in self.names if name not in order]
        if unknown or missing:
            raise ValueError(f"query parameters do not match: unknown {unknown}, unused {missing} in {compiled}")
        if order == list(self.names):
            arrange: Callable[[Args], Args] = _lists_as_json if backend == "sqlite" else _same
        else:
            places = [(index.get(name, -1), compiled.params.get(name)) for name in order]

            def arrange(args: Args) -> Args:
                ordered = [args[place] if place >= 0 else constant for place, constant in places]
                return _lists_as_json(ordered) if backend == "sqlite" else ordered

        return str(compiled), arrange


def _same(args: Args) -> Args:
    return args


def _lists_as_json(args: Args) -> Args:
    for value in args:
        if type(value) is list:
            return [json.dumps(item) if type(item) is list else item for item in args]
    return args


class Bulk:
    """A set-wise statement over many rows at once: several rows of VALUES on SQLite, `unnest` on PostgreSQL.

    Rows are tuples in the order of `columns`. On PostgreSQL the whole set is one statement and one round trip; on
    SQLite `{rows}` in the template stands for as many rows as fit (`executemany` would give up and take back the
    interpreter lock for each row, which costs more than the row while the event loop is busy).
    """

    __slots__ = ("_sqlite", "_texts", "columns", "postgresql")

    def __init__(self, sqlite: str, postgresql: str, columns: Sequence[Column[Any]]) -> None:
        self._sqlite = sqlite
        self.postgresql = postgresql
        self.columns = tuple(columns)
        self._texts: dict[int, str] = {}

    def sqlite(self, rows: int = 0) -> str:
        """The text for this many rows."""
        text = self._texts.get(rows)
        if text is None:
            row = "(" + ", ".join("?" * len(self.columns)) + ")"
            text = self._texts[rows] = self._sqlite.replace("{rows}", ", ".join([row] * rows))
        return text


def _unnest(columns: Sequence[Column[Any]]) -> str:
    return "unnest(" + ", ".join(f"${i}::{_array_type(c)}[]" for i, c in enumerate(columns, 1)) + ")"


def bulk_insert(table: Table, *names: str, ignore_existing: bool = False) -> Bulk:
    """INSERT of many rows; with `ignore_existing` a row whose key is taken is left out."""
    columns = [table.c[name] for name in names]
    into = f"INSERT INTO {table.name} ({', '.join(names)})"
    tail = " ON CONFLICT DO NOTHING" if ignore_existing else ""
    return Bulk(f"{into} VALUES {{rows}}{tail}", f"{into} SELECT * FROM {_unnest(columns)}{tail}", columns)


def bulk_upsert(table: Table, *names: str) -> Bulk:
    """INSERT of many rows that replaces the other columns where the primary key is taken."""
    keys = [c.name for c in table.primary_key.columns]
    columns = [table.c[name] for name in names]
    sets = ", ".join(f"{n} = excluded.{n}" for n in names if n not in keys)
    tail = f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets}"
    into = f"INSERT INTO {table.name} ({', '.join(names)})"
    return Bulk(f"{into} VALUES {{rows}}{tail}", f"{into} SELECT * FROM {_unnest(columns)}{tail}", columns)


def bulk_update(table: Table, keys: Sequence[str], *names: str) -> Bulk:
    """UPDATE of many rows by `keys`; rows are (values of `names`…, values of `keys`…)."""
    columns = [table.c[name] for name in (*names, *keys)]
    one = ", ".join(f"{n} = u.column{i}" for i, n in enumerate(names, 1))
    many = ", ".join(f"{n} = u.{n}" for n in names)
    where = " AND ".join(f"t.{key} = u.column{i}" for i, key in enumerate(keys, len(names) + 1))
    join = " AND ".join(f"t.{key} = u.{key}" for key in keys)
    alias = ", ".join((*names, *keys))
    return Bulk(
        f"UPDATE {table.name} AS t SET {one} FROM (VALUES {{rows}}) AS u WHERE {where}",
        f"UPDATE {table.name} AS t SET {many} FROM {_unnest(columns)} AS u({alias}) WHERE {join}",
        columns,
    )


def bulk_delete(table: Table, *keys: str) -> Bulk:
    """DELETE of many rows by `keys`."""
    columns = [table.c[name] for name in keys]
    names = ", ".join(keys)
    join = " AND ".join(f"t.{key} = u.{key}" for key in keys)
    # Each part of the key by itself: for `(a, b) IN …` SQLite looks up the first part only, or walks the whole table.
    parts = [f"{key} IN (SELECT column{i} FROM u)" for i, key in enumerate(keys, 1)]
    if len(keys) > 1:
        parts.append(f"({names}) IN (SELECT * FROM u)")
    return Bulk(
        f"WITH u AS (VALUES {{rows}}) DELETE FROM {table.name} WHERE {' AND '.join(parts)}",
        f"DELETE FROM {table.name} AS t USING {_unnest(columns)} AS u({names}) WHERE {join}",
        columns,
    )


def bulk_select(table: Table, keys: Sequence[str], *names: str, lock: bool = False) -> Bulk:
    """SELECT of `names` from the rows whose `keys` are in a set of keys, in one statement.

    With `lock` PostgreSQL locks the rows in the order of the keys, so that no two transactions can wait for each
    other (SQLite has one writer and nothing to lock).
    """
    columns = [table.c[name] for name in keys]
    picks = ", ".join(f"t.{name}" for name in names)
    sqlite = " AND ".join(f"t.{key} = j.value ->> {i}" for i, key in enumerate(keys))
    join = " AND ".join(f"t.{key} = u.{key}" for key in keys)
    tail = " ORDER BY " + ", ".join(f"t.{key}" for key in keys) + " FOR UPDATE OF t" if lock else ""
    return Bulk(
        f"SELECT {picks} FROM json_each(?) AS j CROSS JOIN {table.name} AS t ON {sqlite}",
        f"SELECT {picks} FROM {_unnest(columns)} AS u({', '.join(keys)}) JOIN {table.name} AS t ON {join}{tail}",
        columns,
    )


def bulk_query(template: str, *columns: Column[Any], postgresql: str | None = None) -> Bulk:
    """A set-wise SELECT written out: `{source}` stands for the set of keys, `{0}`, `{1}`… for the columns of a key.

    `postgresql` is the template for PostgreSQL where its plan needs another form (a lateral join, which SQLite lacks).
    """
    sqlite = template.format(*(f"(j.value ->> {i})" for i in range(len(columns))), source="json_each(?1) AS j")
    names = [f"k{i}" for i in range(len(columns))]
    source = f"{_unnest(columns)} AS j({', '.join(names)})"
    return Bulk(sqlite, (postgresql or template).format(*(f"j.{name}" for name in names), source=source), columns)


class contains(ColumnElement[bool]):
    """Whether the text of `column` has the value of `name` anywhere in it: case-sensitive, nothing is a wildcard."""

    inherit_cache = False
    type: Any = NullType()

    def __init__(self, column: ColumnElement[Any], name: str) -> None:
        self.column = column
        self.part: Any = bindparam(name)


@compiles(contains, "sqlite")
def _contains_sqlite(element: contains, compiler: SQLCompiler, **kw: Any) -> str:
    return f"instr({compiler.process(element.column, **kw)}, {compiler.process(element.part, **kw)}) > 0"


@compiles(contains, "postgresql")
def _contains_postgres(element: contains, compiler: SQLCompiler, **kw: Any) -> str:
    parameter = compiler.process(element.part, **kw).split("::")[0]
    return f"strpos({compiler.process(element.column, **kw)}, {parameter}::text) > 0"


class folded(ColumnElement[str]):
    """A text in lower case. On SQLite by Python (`sqlite.py`): its own function knows no letters beyond ASCII."""

    inherit_cache = False
    type: Any = Text()

    def __init__(self, text: ColumnElement[Any]) -> None:
        self.text = text


@compiles(folded, "sqlite")
def _folded_sqlite(element: folded, compiler: SQLCompiler, **kw: Any) -> str:
    def text() -> str:  # a parameter has to be rendered where it stands
        return compiler.process(element.text, **kw)

    # Python only where there is more than ASCII: a call for every row would keep taking the interpreter from the loop.
    return (
        f"CASE WHEN length(CAST({text()} AS BLOB)) = length({text()}) THEN lower({text()})"
        f" ELSE unicode_lower({text()}) END"
    )


@compiles(folded, "postgresql")
def _folded_postgres(element: folded, compiler: SQLCompiler, **kw: Any) -> str:
    return f"lower({compiler.process(element.text, **kw)})"


class any_item(ColumnElement[bool]):
    """Whether one of the objects in the JSON list of `column` has a value of `key` that is in the list `name`."""

    inherit_cache = False
    type: Any = NullType()

    def __init__(self, column: ColumnElement[Any], key: str, name: str) -> None:
        self.column = column
        self.key = key
        self.list: Any = bindparam(name)


@compiles(any_item, "sqlite")
def _any_item_sqlite(element: any_item, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = compiler.process(element.column, **kw), compiler.process(element.list, **kw)
    value = f"item.value ->> '{element.key}'"
    return f"EXISTS (SELECT 1 FROM json_each({column}) AS item JOIN json_each({values}) AS j ON {value} = j.value)"


@compiles(any_item, "postgresql")
def _any_item_postgres(element: any_item, compiler: SQLCompiler, **kw: Any) -> str:
    parameter = compiler.process(element.list, **kw).split("::")[0]
    items = f"jsonb_array_elements({compiler.process(element.column, **kw)}::jsonb) AS item"
    return f"EXISTS (SELECT 1 FROM {items} WHERE item ->> '{element.key}' = ANY({parameter}::text[]))"


class Forked(Query):
    """A statement that the two databases have no common form for: `?` and `$1`, `$2` … in the same order."""

    __slots__ = ("_texts",)

    def __init__(self, *, sqlite: str, postgresql: str) -> None:
        super().__init__(None)
        self._texts = {"sqlite": sqlite, "postgresql": postgresql}

    def _compile(self, backend: Backend) -> tuple[str, Callable[[Args], Args]]:
        return self._texts[backend], _lists_as_json if backend == "sqlite" else _same
