"""The commands as a person or a script runs them: output, exit status, one line for every error."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server_process import SOURCE
from voxcube import __version__


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs `voxcube` to its end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VOXCUBE_")}
    return subprocess.run(
        [sys.executable, "-m", "voxcube.server.cli", *arguments],
        env={**inherited, "PYTHONPATH": str(SOURCE), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def refused(done: subprocess.CompletedProcess[str], status: int) -> str:
    """The one line of a refusal."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("voxcube: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_applications_and_users(tmp_path: Path) -> None:
    where = ("--data", str(tmp_path))
    created = json.loads(run("app", "create", "Test", "--json", *where).stdout)
    assert set(created) == {"app_id", "auth_key", "auth_secret", "admin_api_key"}
    assert f"app_id={created['app_id'] + 1}\n" in run("app", "create", "Other", *where).stdout

    app = str(created["app_id"])
    done = run("app", "set", app, "dialog_custom_fields=city,level", "chat_alerts=off", *where)
    assert done.stdout == "dialog_custom_fields=city,level\nchat_alerts=false\n"
    listed = [json.loads(line) for line in run("app", "list", "--json", *where).stdout.splitlines()]
    assert listed[0]["dialog_custom_fields"] == ["city", "level"]
    assert listed[1]["name"] == "Other"

    account = ("--app", app, "--login", "ann", "--password", "correct horse", "--email", "ann@example.org")
    user = json.loads(run("user", "create", *account, "--full-name", "Ann", "--json", *where).stdout)
    assert isinstance(user["id"], int)
    assert "already been taken" in refused(run("user", "create", *account, *where), 1)
    assert "no application 99" in refused(
        run("user", "create", "--app", "99", "--login", "bob", "--password", "correct horse", *where), 1
    )
    assert "is not KEY=VALUE" in refused(run("app", "set", app, "chat_alerts", *where), 2)
    assert "colour is not a setting" in refused(run("app", "set", app, "colour=red", *where), 1)


def test_database_commands_and_a_newer_database(tmp_path: Path) -> None:
    where = ("--data", str(tmp_path))
    done = run("db", "check", *where)
    assert done.returncode == 1
    assert "is empty" in done.stdout
    assert run("db", "upgrade", *where).returncode == 0
    assert run("db", "check", *where).returncode == 0
    database = sqlite3.connect(tmp_path / "voxcube.db")
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.commit()
    database.close()
    for command in (("db", "check"), ("db", "upgrade"), ("app", "list"), ("serve",)):
        assert "newer" in refused(run(*command, *where), 2)


@pytest.mark.parametrize(
    ("flags", "environ", "said"),
    [
        (("--http-port", "abc"), {}, "--http-port must be a whole number"),
        (("--domain", "muc.example.org"), {}, "must not contain 'muc'"),
        (("--plaintext", "--host", "0.0.0.0"), {}, "loopback only"),
        (("--tls-cert", "absent.pem", "--tls-key", "absent.key"), {}, "cannot read the certificate"),
        (("--config", "absent.toml"), {}, "cannot read absent.toml"),
        ((), {"VOXCUBE_CONFIG": "absent.toml"}, "cannot read absent.toml"),
    ],
)
def test_serve_refuses_a_bad_configuration(
    tmp_path: Path, flags: tuple[str, ...], environ: dict[str, str], said: str
) -> None:
    assert said in refused(run("serve", "--data", str(tmp_path), *flags, **environ), 2)


def test_unknown_variables_are_a_warning_and_those_of_kubernetes_nothing(tmp_path: Path) -> None:
    run("db", "upgrade", "--data", str(tmp_path))
    done = run("app", "list", "--data", str(tmp_path), VOXCUBE_HTTP_PROT="1", VOXCUBE_HTTP_PORT="tcp://10.0.0.1:8080")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert "no option VOXCUBE_HTTP_PROT (did you mean VOXCUBE_HTTP_PORT?); it is ignored" in line


def test_version() -> None:
    assert run("--version").stdout == f"voxcube {__version__}\n"


def test_a_database_that_is_away(tmp_path: Path) -> None:
    where = ("--data", str(tmp_path), "--database", "postgresql://voxcube@127.0.0.1:1/none")
    assert "database" in refused(run("app", "list", *where), 2)


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no database, but long enough to be looked at " * 20)
    file = str(tmp_path / "file")
    assert "data directory" in refused(run("app", "list", "--data", file), 2)
    assert "not a database" in refused(
        run("db", "check", "--data", str(tmp_path), "--database", f"sqlite:///{file}"), 2
    )
    # A socket error of the system's own: it names the address, which is what was wrong.
    assert "nosuch.invalid" in refused(run("serve", "--data", str(tmp_path), "--host", "nosuch.invalid"), 2)


def test_config_check_does_not_show_the_password_of_the_database(tmp_path: Path) -> None:
    done = run(
        "config", "check", "--data", str(tmp_path), VOXCUBE_DATABASE="postgresql://vox:s3cret@db.example.org/chat"
    )
    assert "database=postgresql://vox:…@db.example.org/chat\n" in done.stdout
    assert "s3cret" not in done.stdout


def test_config_check_shows_what_is_in_force(tmp_path: Path) -> None:
    (tmp_path / "voxcube.toml").write_text("http_port = 9090\nunlimited = true\n")
    done = run("config", "check", "--config", str(tmp_path / "voxcube.toml"), VOXCUBE_DOMAIN="chat.example.org")
    assert done.returncode == 0
    assert {"http_port=9090", "unlimited=true", "domain=chat.example.org", "https_port=8443"} <= set(
        done.stdout.splitlines()
    )


def test_an_unknown_flag_is_a_usage_error() -> None:
    done = run("serve", "--nonsense")
    assert done.returncode == 2
    assert "--nonsense" in done.stderr


def test_broadcasts(tmp_path: Path) -> None:
    where = ("--data", str(tmp_path))
    app = str(json.loads(run("app", "create", "Test", "--json", *where).stdout)["app_id"])
    accounts = [("--app", app, "--login", login, "--password", "correct horse", "--json") for login in ("ann", "bob")]
    ann, bob = [json.loads(run("user", "create", *account, *where).stdout)["id"] for account in accounts]
    with sqlite3.connect(tmp_path / "voxcube.db") as database:
        before = database.execute("SELECT value FROM counters WHERE name = 'generation'").fetchone()[0]
    new = ("--app", app, "--name", "News", "--owner", str(ann))
    made = json.loads(run("dialog", "create-broadcast", *new, "--admins", f"{bob}, {ann}", "--json", *where).stdout)
    assert (set(made), made["name"]) == ({"id", "name"}, "News")
    with sqlite3.connect(tmp_path / "voxcube.db") as database:
        assert database.execute("SELECT id, type, owner_id FROM dialogs").fetchall() == [(made["id"], 1, ann)]
        assert database.execute("SELECT user_id FROM members WHERE admin").fetchall() == [(bob,)]
        # So that a running server follows.
        after = database.execute("SELECT value FROM counters WHERE name = 'generation'").fetchone()[0]
    assert after == before + 1
    assert "no application 99" in refused(
        run("dialog", "create-broadcast", "--app", "99", "--name", "News", "--owner", str(ann), *where), 1
    )
    assert "user_id names a user" in refused(
        run("dialog", "create-broadcast", "--app", app, "--name", "News", "--owner", "99", *where), 1
    )
    assert "name can't be blank" in refused(
        run("dialog", "create-broadcast", "--app", app, "--name", " ", "--owner", str(ann), *where), 1
    )
    assert "not a list of user ids" in refused(run("dialog", "create-broadcast", *new, "--admins", "x", *where), 2)
