"""The self-signed certificate, and what is said about configured ones that cannot be used."""

import asyncio
import hashlib
import ssl
from pathlib import Path

import pytest

from voxcube.server import tls
from voxcube.server.config import Config, ConfigError


def config_for(data: Path, **flags: object) -> Config:
    return Config.load(None, {}, {"data": str(data), **flags})


def test_made_once_with_a_private_key_and_its_fingerprint(tmp_path: Path) -> None:
    config = config_for(tmp_path / "data")
    made = tls.certificate(config)
    assert made == tls.certificate(config)
    assert made.self_signed
    assert made.key.stat().st_mode & 0o777 == 0o600
    der = ssl.PEM_cert_to_DER_cert(made.cert.read_text())
    assert made.fingerprint.replace(":", "") == hashlib.sha256(der).hexdigest().upper()


def test_another_domain_gets_another_certificate(tmp_path: Path) -> None:
    first = tls.certificate(config_for(tmp_path))
    second = tls.certificate(config_for(tmp_path, domain="chat.example.org"))
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "chat.example.org"])
async def test_a_strict_client_that_trusts_the_file_accepts_each_name(tmp_path: Path, name: str) -> None:
    made = tls.certificate(config_for(tmp_path, domain="chat.example.org"))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=tls.server_context(made))
    port = server.sockets[0].getsockname()[1]
    context = ssl.create_default_context(cafile=str(made.cert))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


def test_configured_files_that_cannot_be_used(tmp_path: Path) -> None:
    absent = {"tls_cert": str(tmp_path / "a.pem"), "tls_key": str(tmp_path / "a.key")}
    with pytest.raises(ConfigError, match="cannot read the certificate"):
        tls.certificate(config_for(tmp_path, **absent))
    (tmp_path / "a.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="no certificate in PEM form"):
        tls.certificate(config_for(tmp_path, **absent))
    one = tls.certificate(config_for(tmp_path / "one"))
    two = tls.certificate(config_for(tmp_path / "two"))
    mixed = tls.certificate(config_for(tmp_path, tls_cert=str(one.cert), tls_key=str(two.key)))
    with pytest.raises(ConfigError, match="cannot use"):
        tls.server_context(mixed)
