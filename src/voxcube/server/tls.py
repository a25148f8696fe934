"""The server's TLS: the configured certificate, or a self-signed one made once in the data directory."""

import datetime
import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from voxcube.server.config import Config, ConfigError

VALID_DAYS = 825  # the longest life that Apple's clients accept
RENEW_DAYS = 30


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in use: its files and its SHA-256 fingerprint (upper-case hex pairs joined by colons)."""

    cert: Path
    key: Path
    fingerprint: str
    self_signed: bool


def certificate(config: Config) -> Certificate:
    """The configured certificate, or the self-signed one of the data directory, made or renewed when needed.

    Raises ConfigError when a configured file cannot be read.
    """
    if config.tls_cert is not None and config.tls_key is not None:
        cert, key, self_signed = config.tls_cert, config.tls_key, False
    else:
        cert, key, self_signed = config.data / "tls.crt", config.data / "tls.key", True
        if not _usable(cert, key, config.domain):
            _make(cert, key, config.domain)
    parsed = read(cert)
    digest = parsed.fingerprint(hashes.SHA256())
    return Certificate(cert, key, digest.hex(":").upper(), self_signed)


def check(config: Config) -> None:
    """Looks at the configured certificate as clients will. Makes nothing. Raises ConfigError with what is wrong."""
    if config.tls_cert is None or config.tls_key is None:
        return  # a self-signed one is made when the server starts
    server_context(certificate(config))
    if wrong := problem(read(config.tls_cert), config.domain):
        raise ConfigError(f"the certificate {config.tls_cert} {wrong} (option tls_cert)")


def problem(parsed: x509.Certificate, domain: str) -> str | None:
    """Why clients that connect to `domain` will refuse the certificate; None when its dates and names are right."""
    now = datetime.datetime.now(datetime.UTC)
    if parsed.not_valid_after_utc <= now:
        return f"has expired on {parsed.not_valid_after_utc:%Y-%m-%d}"
    if parsed.not_valid_before_utc > now:
        return f"is not valid before {parsed.not_valid_before_utc:%Y-%m-%d}"
    names = _names(parsed)
    # RFC 6125 §6.4.3: a wildcard stands for the whole first label.
    if domain.lower() in names or f"*.{domain.partition('.')[2]}".lower() in names:
        return None
    return f"is for {', '.join(sorted(names)[:5]) or 'no host name'}, not for the domain {domain}"


def _names(parsed: x509.Certificate) -> set[str]:
    """The host names and addresses of a certificate."""
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return set()
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return {name.lower() for name in names.get_values_for_type(x509.DNSName)} | addresses


def read(path: Path) -> x509.Certificate:
    """The first certificate of a PEM file. Raises ConfigError."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read the certificate {path}: {error.strerror} (option tls_cert)") from None
    except ValueError:
        raise ConfigError(f"{path} holds no certificate in PEM form (option tls_cert)") from None


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """A TLS 1.2+ server context for the certificate. Raises ConfigError when certificate and key do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        certificate.key.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the key {certificate.key}: {error.strerror} (option tls_key)") from None
    try:
        # Without a callback OpenSSL would ask for a pass phrase on the terminal.
        context.load_cert_chain(certificate.cert, certificate.key, password=_no_pass_phrase)
    except _Encrypted:
        raise ConfigError(f"the key {certificate.key} has a pass phrase: remove it (option tls_key)") from None
    except OSError as error:  # ssl.SSLError is one
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        if reason == "KEY_VALUES_MISMATCH":
            reason = "the key does not belong to the certificate"
        raise ConfigError(
            f"cannot use the certificate {certificate.cert} with the key {certificate.key}:"
            f" {reason or 'no key in PEM form'} (options tls_cert, tls_key)"
        ) from None
    return context


class _Encrypted(Exception):
    """The key asks for a pass phrase."""


def _no_pass_phrase() -> str:
    raise _Encrypted


def reload(context: ssl.SSLContext, config: Config) -> Certificate:
    """Has new handshakes on `context` see what the files hold now; connections go on.

    Raises ConfigError when they cannot be used; the certificate in use stays.
    """
    found = certificate(config)
    server_context(found)  # a context of which only the half could be loaded would serve nobody
    context.load_cert_chain(found.cert, found.key, password=_no_pass_phrase)
    return found


def _usable(cert: Path, key: Path, domain: str) -> bool:
    try:
        parsed = x509.load_pem_x509_certificate(cert.read_bytes())
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    enough = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=RENEW_DAYS)
    return key.exists() and domain in names.get_values_for_type(x509.DNSName) and parsed.not_valid_after_utc > enough


def _make(cert: Path, key: Path, domain: str) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain[:64])])
    alternatives: list[x509.GeneralName] = [x509.DNSName(host) for host in dict.fromkeys(("localhost", domain))]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    now = datetime.datetime.now(datetime.UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        # No authority: a client told to trust this file (NODE_EXTRA_CA_CERTS, cafile) trusts this one server only.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(private, hashes.SHA256())
    )
    cert.parent.mkdir(parents=True, exist_ok=True)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key, pem, 0o600)
    _write(cert, signed.public_bytes(serialization.Encoding.PEM), 0o600)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Writes the file whole or not at all, never readable to others for a moment when `mode` forbids it."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    draft.replace(path)
