"""What exists is documented, and what is documented exists."""

import re
import tomllib
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest
import typer

from voxcube.server.cli import cli
from voxcube.server.config import Config, flag, variable
from voxcube.server.core.models import AppSettings
from voxcube.xmpp import ns

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]


def option_row(option: Field[Any]) -> str:
    """The row of docs/reference/config.md for an option, as it follows from Config."""
    default = "off" if option.default is False else "" if option.default in (None, "") else f"`{option.default}`"
    cells = (
        f"`{option.name}`",
        f"`{flag(option.name)}`",
        f"`{variable(option.name)}`",
        default,
        option.metadata["help"],
    )
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("option", fields(Config), ids=lambda option: str(option.name))
def test_every_option_is_in_the_reference(option: Field[Any]) -> None:
    assert option_row(option) in (DOCS / "reference/config.md").read_text().splitlines()


def test_the_example_configuration_shows_every_option() -> None:
    text = (ROOT / "config.example.toml").read_text()
    shown = tomllib.loads(re.sub(r"^#(?=[a-z_]+ = )", "", text, flags=re.MULTILINE))
    assert list(shown) == [option.name for option in fields(Config)]
    Config.load(None, {}, {**shown, "tls_cert": None, "tls_key": None})


def test_every_setting_is_in_the_reference() -> None:
    text = (DOCS / "reference/config.md").read_text()
    for setting in fields(AppSettings):
        assert f"| `{setting.name}` |" in text


def test_every_command_is_in_the_reference() -> None:
    text = (DOCS / "reference/cli.md").read_text()
    documented = set(re.findall(r"^\| `voxcube ([a-z]+(?: [a-z-]+)?)", text, re.MULTILINE))
    existing = set()
    for command in cli.registered_commands:
        assert command.callback is not None
        existing.add(command.name or command.callback.__name__)
    for group in cli.registered_groups:
        assert isinstance(group.typer_instance, typer.Typer)
        name = group.typer_instance.info.name
        existing |= {f"{name} {command.name}" for command in group.typer_instance.registered_commands}
    assert documented == existing


def test_links_and_named_files_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def protocols() -> dict[str, list[str]]:
    """The table of docs/reference/protocols.md: specification → status, files, tests."""
    rows = re.findall(r"^\| (?!specification)(\S.*) \|$", (DOCS / "reference/protocols.md").read_text(), re.MULTILINE)
    return {cells[0]: cells[1:] for cells in (row.split(" | ") for row in rows)}


@pytest.mark.parametrize("specification", protocols())
def test_every_protocol_has_a_status_files_and_tests(specification: str) -> None:
    status, files, tests = protocols()[specification]
    assert status
    for cell, root in ((files, ROOT / "src/voxcube"), (tests, ROOT)):
        assert re.fullmatch(r"`[^`]+`(, `[^`]+`)*", cell)
        for name in re.findall(r"`([^`]+)`", cell):
            assert (root / name).is_file(), f"{name} does not exist"
    assert all(name.startswith("tests/") for name in re.findall(r"`([^`]+)`", tests))


def test_every_protocol_that_the_code_cites_has_a_row() -> None:
    cited = {
        name for path in (ROOT / "src/voxcube").rglob("*.py") for name in re.findall(r"XEP-\d{4}", path.read_text())
    }
    assert cited <= {specification.split()[0] for specification in protocols()}


def test_every_advertised_namespace_has_a_row() -> None:
    text = (DOCS / "reference/protocols.md").read_text()
    for path in (ROOT / "src/voxcube/server/features").glob("*/xmpp.py"):
        for names in re.findall(r"disco=\(([^)]*)\)", path.read_text()):
            for name in re.findall(r"ns\.([A-Z_]+)", names):
                assert f"`{getattr(ns, name)}`" in text, f"{path.parent.name} advertises {name}"


@pytest.mark.parametrize("name", ["first_chat.py", "first_chat.mjs"])
def test_the_readme_shows_the_examples(name: str) -> None:
    assert (ROOT / "examples" / name).read_text() in (ROOT / "README.md").read_text()
