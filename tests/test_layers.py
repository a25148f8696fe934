"""Who may import whom: the layers of ARCHITECTURE.md, read off the source."""

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "voxcube"

CORE = "server.core.*"
SERVICES = "server.features.*.service"
XMPP_FACE = (
    *(CORE, "server.c2s.*", "server.delivery.*", "xmpp.*"),
    *("server.cluster.gate", SERVICES, "server.features.*.xmpp", "server.features.*.encode"),
)

#: Importing module → what it may import of ours, besides its own package. The first pattern that fits counts.
ALLOWED: dict[str, tuple[str, ...]] = {
    "xmpp.*": (),
    "client.*": ("xmpp.*",),
    # The load generator is a client; what starts and fills our own server for the benchmark knows that as well.
    "bench.seed": ("xmpp.*", "server.config", "server.accounts", CORE, "server.storage.*"),
    "bench.*": ("xmpp.*",),
    "server.core.*": (),
    "server.storage.*": (CORE,),
    "server.cluster.*": (CORE,),
    "server.delivery.*": (CORE, "server.cluster.*"),
    "server.net.*": (CORE,),
    # Of storage the XMPP door knows two classes: an outage ends the stream uncounted, bad data is refused and counted.
    "server.c2s.*": (
        CORE,
        "server.net.*",
        "server.delivery.*",
        "xmpp.*",
        "server.storage.database.DatabaseError",
        "server.storage.database.DataError",
    ),
    "server.rest.*": (CORE, "server.net.*", "server.delivery.*", "xmpp.*"),
    "server.features.*.xmpp": XMPP_FACE,
    "server.features.*.encode": XMPP_FACE,
    "server.features.messages.late": (*XMPP_FACE, "server.storage.*"),  # stored messages → stanzas
    "server.features.contacts.pushes": XMPP_FACE,
    "server.features.contacts.showing": XMPP_FACE,
    "server.features.rooms.invitations": XMPP_FACE,
    "server.features.*.rest*": (CORE, "server.rest.*", SERVICES, "server.features.*.rest"),
    # Services name the types of what their constructors are given: stores, other services, delivery.
    "server.features.*.*": (CORE, "server.storage.*", "server.delivery.*", "server.features.*"),
    "server.features": (),
    "server.config": ("server.database_url", "server.net.addresses"),
    "server.database_url": (),
    "server.data_lock": ("server.config", "server.storage.*"),
    "server.log": (),
    "server.tls": ("server.config",),
    "server.options": ("server.config", "server.log"),
    "server.accounts": ("server.config", CORE, "server.storage.*", "server.features.*"),
    "server.demo": ("server.config", "server.tls", "server.accounts"),
    "server.cli": ("server.*", "bench.commands"),
    "server.*": ("server.*", "xmpp.*"),  # app.py, the only wiring, and cli.py
    "__init__": ("client.*",),
}


def modules() -> Iterator[tuple[str, Path]]:
    """Our modules by dotted name below `voxcube`."""
    for path in sorted(SOURCE.rglob("*.py")):
        if "versions" not in path.parts:  # migrations are run by Alembic
            yield ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"), path


def imports(path: Path) -> Iterator[str]:
    """Every module that the file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package(module: str) -> str:
    """The part of the tree within which modules may import each other."""
    parts = module.split(".")
    depth = 3 if parts[:2] == ["server", "features"] else 2 if parts[0] == "server" else 1
    return ".".join(parts[:depth])


def test_imports_follow_the_layers() -> None:
    wrong = []
    for module, path in modules():
        allowed = next(
            targets for pattern, targets in ALLOWED.items() if fnmatch(module, pattern) or module == pattern[:-2]
        )
        for name in imports(path):
            target = name.removeprefix("voxcube.")
            if target == name or target == "__version__" or package(target) == package(module):
                continue
            if not any(fnmatch(target, pattern) or fnmatch(target, f"{pattern}.*") for pattern in allowed):
                wrong.append(f"{module} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_the_protocol_needs_the_standard_library_only() -> None:
    for module, path in modules():
        if module.startswith("xmpp"):
            foreign = {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names - {"voxcube"}
            assert not foreign, f"{module} imports {foreign}"


def test_only_storage_imports_a_database_driver() -> None:
    drivers = {"sqlite3", "asyncpg", "sqlalchemy", "alembic"}
    for module, path in modules():
        if not module.startswith("server.storage"):
            found = drivers & {name.split(".")[0] for name in imports(path)}
            assert not found, f"{module} imports {found}"


def test_the_sdk_needs_one_package() -> None:
    """What else it can use is imported by one module, and only when it is asked for."""
    for module, path in modules():
        if module.startswith("client"):
            foreign = {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names - {"voxcube", "httpx"}
            assert foreign == ({"picows"} if module == "client.websocket" else set()), f"{module} imports {foreign}"
