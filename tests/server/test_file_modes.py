"""Other users of the machine cannot read what the server stores, however the files were made."""

import json
import os
import stat
from pathlib import Path

import pytest

from tests.server.test_cli import refused, run
from voxcube.server import file_modes
from voxcube.server.config import Config, ConfigError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        *((name, True) for name in ("voxcube.db", "voxcube.db-wal", "voxcube.db-shm", "tls.key", "tls.crt")),
        *((name, True) for name in ("demo.json", "server.log", "voxcube.lock")),
        ("notes.txt", False),  # the operator's; the directory keeps others out
    ],
)
def test_files_in_the_data_directory_are_repaired(tmp_path: Path, name: str, changed: bool) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    (data / name).touch()
    (data / name).chmod(0o664)
    lines = file_modes.repair(Config(data=data))
    assert mode(data) == 0o700
    assert mode(data / name) == (0o600 if changed else 0o664)
    assert f"other users could read {data}: mode changed from 755 to 700" in lines
    assert len(lines) == 1 + changed
    assert file_modes.repair(Config(data=data)) == []


def test_a_database_elsewhere_is_repaired_and_its_directory_is_not(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o755)
    for name in ("chat.db", "chat.db-wal", "other.db"):
        (elsewhere / name).touch()
        (elsewhere / name).chmod(0o644)
    lines = file_modes.repair(Config(data=tmp_path / "none", database=f"sqlite:///{elsewhere / 'chat.db'}"))
    assert [mode(elsewhere / name) for name in ("chat.db", "chat.db-wal", "other.db")] == [0o600, 0o600, 0o644]
    assert mode(elsewhere) == 0o755
    assert len(lines) == 2


def test_a_directory_that_all_share_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(ConfigError, match="shared by all users"):
        file_modes.repair(Config(data=shared))
    assert mode(shared) == 0o1777


def test_what_cannot_be_repaired_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o755)

    def denied(*args: object, **named: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", denied)
    with pytest.raises(ConfigError, match="it cannot be changed: Operation not permitted"):
        file_modes.repair(Config(data=data))


def test_a_readable_key_elsewhere_is_reported(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.touch()
    config = Config(data=tmp_path / "data", tls_cert=key, tls_key=key)
    for number, said in ((0o644, True), (0o640, False), (0o600, False)):
        key.chmod(number)
        assert bool(file_modes.repair(config)) is said
        assert mode(key) == number


def test_commands_make_and_repair_files(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o755)
    before = os.umask(0o022)
    try:
        done = run("app", "create", "Test", "--json", "--data", str(data))
    finally:
        os.umask(before)
    assert f"voxcube: other users could read {data}: mode changed from 755 to 700" in done.stderr
    assert mode(data) == 0o700
    assert {mode(path) for path in data.iterdir()} == {0o600}
    created = json.loads(done.stdout)
    stored = b"".join(path.read_bytes() for path in data.iterdir())
    assert created["admin_api_key"].encode() not in stored
    assert created["auth_secret"].encode() in stored


def test_keys_are_rotated(tmp_path: Path) -> None:
    where = ("--data", str(tmp_path / "data"))
    created = json.loads(run("app", "create", "Test", "--json", *where).stdout)
    app = str(created["app_id"])
    new = json.loads(run("app", "rotate-keys", app, "--json", *where).stdout)
    assert set(new) == {"app_id", "admin_api_key"}
    assert new["admin_api_key"] != created["admin_api_key"]
    done = run("app", "rotate-keys", app, "--keys", "auth_key,auth_secret", *where)
    assert [line.partition("=")[0] for line in done.stdout.splitlines()] == ["app_id", "auth_key", "auth_secret"]
    assert created["auth_key"] not in done.stdout
    assert "'colour' is not a key" in refused(run("app", "rotate-keys", app, "--keys", "colour", *where), 1)
    assert "no application 99" in refused(run("app", "rotate-keys", "99", *where), 1)


@pytest.mark.parametrize(
    ("flag", "expected", "noted"),
    [((), True, True), (("--session-creates-user",), True, False), (("--no-session-creates-user",), False, False)],
)
def test_whether_logins_make_accounts_is_said(
    tmp_path: Path, flag: tuple[str, ...], expected: bool, noted: bool
) -> None:
    where = ("--data", str(tmp_path / "data"))
    done = run("app", "create", "Test", *flag, *where)
    assert done.returncode == 0
    assert ("voxcube app set 1 session_creates_user=off" in done.stderr) is noted
    listed = json.loads(run("app", "list", "--json", *where).stdout)
    assert listed["session_creates_user"] is expected
