"""A wrong value gets one line that names it and the option, and exit status 2; nothing is left behind.

In one process, through the entry point of the command.
"""
# ruff: noqa: E501, ISC004 - the lines are compared whole

from __future__ import annotations

import datetime
import re
import socket
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.commands.conftest import Voxcube
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer

LISTENERS = ("http", "https", "xmpp", "xmpps", "ws", "wss")


def refused(done: tuple[int, str, str]) -> str:
    """The line of a refusal, without `voxcube: `."""
    status, out, errors = done
    assert (status, out) == (2, ""), errors
    assert errors.startswith("voxcube: ")
    assert errors.count("\n") == 1
    return errors.removeprefix("voxcube: ").rstrip("\n")


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--http-port", "x"), "command line: --http-port must be a whole number of 0 or more, not 'x'"),
        (("--http-port", "-1"), "command line: --http-port must be a whole number of 0 or more, not '-1'"),
        (("--xmpp-port", "65536"), "xmpp_port 65536 is not between 0 and 65535"),
        (("--wss-port", "8080"), "http_port and wss_port are both 8080"),
        (("--domain", "chat example"), "domain 'chat example' is not a host name"),
        (("--log-level", "loud"), "log_level 'loud' is none of debug, info, warning, error"),
        (("--log-format", "xml"), "log_format 'xml' is none of console, json"),
        (("--metrics", "some"), "metrics 'some' is none of loopback, all, off"),
        (("--body-limit", "1"), "body_limit 1 is too small: a login may need 4096 bytes"),
        (("--tls-cert", "a.pem"), "tls_cert and tls_key belong together: give both or neither"),
        (("--data", ""), "command line: --data must be a path, not ''"),
        (("--data", "nope/x"), "cannot make the data directory nope/x: {tmp}/nope does not exist (option data)"),
        (("--config", "none.toml"), "cannot read none.toml: No such file or directory"),
        (("--config", "."), "cannot read .: Is a directory"),
        (
            ("--database", "sqlite:////nope/x.db"),
            "the directory /nope of the database does not exist (option database)",
        ),
        (("--database", "sqlite:///"), "database 'sqlite:///' names no file: sqlite:///relative/path or sqlite:////absolute/path"),
        (
            ("--database", "mysql://root:secret@db/x"),
            "database must start with sqlite:/// or postgresql://, not mysql:"
            " (sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME)",
        ),
        *(
            (
                ("--database", f"postgresql://vox:{password}@db.example.org/chat"),
                "database has a character in its user, password or name that must be written as %XX:"
                " '/' as %2F, '?' as %3F, '#' as %23, '@' as %40, '%' as %25, '[' as %5B, ']' as %5D",
            )
            for password in ("se/cret", "12/34", "se?cret", "se#cret", "se[cret", "se]cret")
        ),
        (
            ("--database", "postgresql://vox:50%cret@db/chat"),
            "database has a '%' that is not followed by two hexadecimal digits: write '%' as %25",
        ),
        (("--database", "postgresql://db:99999/chat"), "database has the port 99999, which is not a number from 1 to 65535"),
        (("--database", "postgresql://db:x/chat"), "database has a port that is not a number from 1 to 65535"),
        (("--database", "postgresql://::1/chat"), "database has the host '::1': an IPv6 address is written in brackets, as [::1]:5432"),
        (
            ("--database", "postgresql://db/chat?sslmode=on"),
            "database has sslmode=on, which is none of disable, allow, prefer, require, verify-ca, verify-full",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["serve", "config check"])
def test_wrong_flags(tmp_path: Path, voxcube: Voxcube, command: str, flags: tuple[str, ...], line: str) -> None:
    if command == "config check" and "sqlite:////nope" in flags[1]:
        pytest.skip("config check opens no database")
    said = refused(voxcube(*command.split(), *flags))
    assert said == line.replace("{tmp}", str(tmp_path))
    assert "cret" not in said
    assert [path.name for path in tmp_path.iterdir()] in ([], ["voxcube-data"])


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        (b"http_port = ", "voxcube.toml: Invalid value (at end of document)"),
        (b"http_port 8080", "voxcube.toml: Expected '=' after a key in a key/value pair (at line 1, column 11)"),
        (b"htp_port = 1", "voxcube.toml: there is no option 'htp_port' (did you mean 'http_port'?)"),
        (b"[server]\nport = 1", "voxcube.toml: there is no option 'server'"),
        (b"http_port = '8080x'", "voxcube.toml: 'http_port' must be a whole number of 0 or more, not '8080x'"),
        (b"http_port = 8080.0", "voxcube.toml: 'http_port' must be a whole number of 0 or more, not 8080.0"),
        (b"http_port = true", "voxcube.toml: 'http_port' must be a whole number of 0 or more, not True"),
        (b"ping_seconds = -5", "ping_seconds -5 is not between 0 and 1000000000"),
        (b"ping_seconds = 99999999999999999999", "ping_seconds 99999999999999999999 is not between 0 and 1000000000"),
        (b"unlimited = 'maybe'", "voxcube.toml: 'unlimited' must be true or false, not 'maybe'"),
        (b"domain = 3", "voxcube.toml: 'domain' must be a text, not 3"),
        (b"data = 3", "voxcube.toml: 'data' must be a path, not 3"),
        (b'data = "a\\u0000b"', "voxcube.toml: 'data' must not contain control characters, as 'a\\x00b' does"),
        (b'node = "a\\nb"', "voxcube.toml: 'node' must not contain control characters, as 'a\\nb' does"),
        (b"domain = '\xff'", "voxcube.toml: not UTF-8 text (byte 10)"),
    ],
)
def test_wrong_files(tmp_path: Path, voxcube: Voxcube, toml: bytes, line: str) -> None:
    (tmp_path / "voxcube.toml").write_bytes(toml)
    assert refused(voxcube("serve", "--config", "voxcube.toml")) == line


# -- where the data is ---------------------------------------------------------------------------------------------


def test_only_some_commands_make_a_data_directory_and_they_say_so(tmp_path: Path, voxcube: Voxcube) -> None:
    user = ("--app", 1, "--login", "ann", "--password", "correct horse")
    for command in (("app", "list"), ("app", "set", 1, "chat_alerts=off"), ("user", "create", *user)):
        assert (
            refused(voxcube(*command, "--data", "data")) == f"there is no data directory {tmp_path}/data (option data)"
        )
        assert refused(voxcube(*command, "--database", "sqlite:///x.db")).startswith(
            f"there is no database {tmp_path}/x.db (option database): name an existing one"
        )
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "data").mkdir()
    assert refused(voxcube("app", "list", "--data", "data")).startswith(
        f"there is no database {tmp_path}/data/voxcube.db (option data)"
    )
    status, out, errors = voxcube("app", "create", "Test", "--no-session-creates-user", "--data", "made")
    assert (status, errors) == (0, f"voxcube: created the data directory {tmp_path}/made\n")
    assert "auth_key=" in out
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
    assert voxcube("app", "list", "--data", "made")[2] == ""
    (tmp_path / "file").touch()
    assert refused(voxcube("app", "create", "X", "--data", "file")) == (
        "cannot use the data directory file: it is a file (option data)"
    )


def test_a_busy_or_impossible_address(tmp_path: Path, voxcube: Voxcube) -> None:
    off = [part for name in LISTENERS[1:] for part in (f"--{name}-port", "0")]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for name in ("http", "xmpp", "ws"):
            others = [part for other in LISTENERS if other != name for part in (f"--{other}-port", "0")]
            said = refused(voxcube("serve", "--data", tmp_path, f"--{name}-port", port, *others))
            assert said == (
                f"cannot listen on 127.0.0.1:{port}: the port is in use by another program: stop it, or change {name}_port"
            )
    for host, reason in (("192.0.2.1", "annot assign requested address"), ("nosuch.invalid", "not known")):
        said = refused(voxcube("serve", "--data", tmp_path, "--host", host, "--http-port", free_port(), *off))
        assert re.fullmatch(rf"cannot listen on {host}:\d+: .*{reason}, or change host", said), said


# -- certificates --------------------------------------------------------------------------------------------------


def make_certificate(directory: Path, name: str, *hosts: str, days: tuple[int, int] = (-1, 30)) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject, now = x509.Name([]), datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = directory / f"{name}.pem", directory / f"{name}.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    files[1].write_bytes(key.private_bytes(*form, serialization.NoEncryption()))
    return files


def test_config_check_looks_at_the_certificate(tmp_path: Path, voxcube: Voxcube) -> None:
    domain = "chat.example.org"

    def check(cert: Path | str, key: Path | str) -> tuple[int, str, str]:
        return voxcube("config", "check", "--domain", domain, "--tls-cert", cert, "--tls-key", key)

    good, key = make_certificate(tmp_path, "good", "example.org", domain)
    wild, wild_key = make_certificate(tmp_path, "wild", "*.example.org")
    for pair in ((good, key), (wild, wild_key)):
        status, out, _ = check(*pair)
        assert status == 0
        assert f"domain={domain}\n" in out
    other = make_certificate(tmp_path, "other", "www.example.net", "*.chat.example.org")
    assert refused(check(*other)) == (
        f"the certificate {other[0]} is for *.chat.example.org, www.example.net, not for the domain {domain} (option tls_cert)"
    )
    old = make_certificate(tmp_path, "old", domain, days=(-30, -2))
    assert re.fullmatch(
        rf"the certificate {old[0]} has expired on \d{{4}}-\d\d-\d\d \(option tls_cert\)", refused(check(*old))
    )
    early = make_certificate(tmp_path, "early", domain, days=(2, 30))
    assert "is not valid before" in refused(check(*early))
    assert refused(check("absent.pem", key)) == (
        "cannot read the certificate absent.pem: No such file or directory (option tls_cert)"
    )
    assert (
        refused(check(good, "absent.key"))
        == "cannot read the key absent.key: No such file or directory (option tls_key)"
    )
    assert refused(check(tmp_path, key)) == f"cannot read the certificate {tmp_path}: Is a directory (option tls_cert)"
    assert refused(check(key, key)) == f"{key} holds no certificate in PEM form (option tls_cert)"
    assert refused(check(good, wild_key)) == (
        f"cannot use the certificate {good} with the key {wild_key}: the key does not belong to the certificate"
        " (options tls_cert, tls_key)"
    )
    assert refused(check(good, good)).startswith(f"cannot use the certificate {good} with the key {good}: ")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    secret = ec.generate_private_key(ec.SECP256R1()).private_bytes(*form, serialization.BestAvailableEncryption(b"x"))
    (tmp_path / "secret.key").write_bytes(secret)
    assert refused(check(good, "secret.key")) == "the key secret.key has a pass phrase: remove it (option tls_key)"
    assert not (tmp_path / "voxcube-data").exists()


# -- PostgreSQL ----------------------------------------------------------------------------------------------------


def test_what_postgresql_refuses(own_postgres: PostgresServer, voxcube: Voxcube) -> None:
    url = own_postgres.create_database()
    where, name = f"127.0.0.1:{own_postgres.port}", url.rpartition("/")[2]
    settings = own_postgres._directory / "data/pg_hba.conf"
    settings.write_text(f"host all checked 127.0.0.1/32 scram-sha-256\n{settings.read_text()}")
    roles = "CREATE ROLE checked LOGIN PASSWORD 'right'; CREATE ROLE plain LOGIN"
    own_postgres._call("psql", *own_postgres._where, "-U", "voxcube", "-c", roles, name)
    own_postgres._call("psql", *own_postgres._where, "-U", "voxcube", "-c", "SELECT pg_reload_conf()", name)
    closed = free_port()
    for database, line in (
        (f"postgresql://voxcube@127.0.0.1:{closed}/{name}", f"cannot connect to PostgreSQL at 127.0.0.1:{closed}: Connection refused: is it running there?"),
        (f"postgresql://voxcube@nosuch.invalid/{name}", r"re:the host of PostgreSQL at nosuch.invalid:5432 is not known: .*"),
        (f"postgresql://checked:s3cret@{where}/{name}", f"PostgreSQL at {where} refuses the password of the user checked"),
        (f"postgresql://stranger@{where}/{name}", f're:PostgreSQL at {where} refuses the user stranger: .*role "stranger" does not exist'),
        (f"postgresql://voxcube@{where}/none", f"PostgreSQL at {where} has no database none: create it (createdb none), or name another one"),
        (f"{url}?sslmode=require", f"PostgreSQL at {where} has no TLS, which sslmode asks for"),
        (f"{url}?sslmode=verify-full&sslrootcert=/none.pem", "cannot read the file /none.pem that a parameter of the URL names"),
        (f"{url}?nonsense=1", f're:PostgreSQL at {where} refuses the connection: unrecognized configuration parameter "nonsense"'),
        (f"postgresql://plain@{where}/{name}", "cannot create or upgrade the tables: permission denied for schema public"),
    ):  # fmt: skip
        said = refused(voxcube("app", "list", "--database", database))
        expected = line if line.startswith("re:") else "re:" + re.escape(line)
        assert re.fullmatch(expected.removeprefix("re:") + r" \(option database\)", said), (said, line)
        assert "s3cret" not in said
