"""Options: three sources in their order, and one clear line for every mistake."""

from pathlib import Path

import pytest

from voxcube.server.config import Config, ConfigError


def load(tmp_path: Path, toml: str = "", environ: dict[str, str] | None = None, **flags: object) -> Config:
    path = tmp_path / "voxcube.toml"
    path.write_text(toml)
    return Config.load(path, environ or {}, flags)


def test_flag_beats_variable_beats_file(tmp_path: Path) -> None:
    toml = 'http_port = 1001\nws_port = 1002\ndomain = "file.example"\nplaintext = true'
    environ = {"VOXCUBE_WS_PORT": "2002", "VOXCUBE_DOMAIN": "Variable.Example", "PATH": "/bin", "VOXCUBE_CONFIG": "x"}
    config = load(tmp_path, toml, environ, domain="flag.example", wss_port=None)
    assert (config.http_port, config.ws_port, config.wss_port) == (1001, 2002, 5291)
    assert config.domain == "flag.example"
    assert config.plaintext is True
    assert load(tmp_path, toml, environ).domain == "variable.example"


def test_defaults_follow_the_data_directory(tmp_path: Path) -> None:
    config = load(tmp_path, data=str(tmp_path / "d"))
    assert config.database_url == f"sqlite:///{tmp_path}/d/voxcube.db"
    assert config.node_name


def test_a_port_of_0_turns_a_door_off(tmp_path: Path) -> None:
    config = load(tmp_path, http_port="0", https_port=0)
    assert config.ports == {"xmpp": 5222, "xmpps": 5223, "ws": 5280, "wss": 5291}


def test_trusted_proxies_are_addresses_and_networks(tmp_path: Path) -> None:
    config = load(tmp_path, 'trusted_proxies = "192.0.2.7, 10.0.0.0/8,2001:db8::/32,"')
    assert [str(network) for network in config.proxies] == ["192.0.2.7/32", "10.0.0.0/8", "2001:db8::/32"]
    assert load(tmp_path).proxies == ()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"http_port": "abc"}, "--http-port must be a whole number"),
        ({"http_port": "70000"}, "http_port 70000 is not between 0 and 65535"),
        ({"http_port": "5280"}, "http_port and ws_port are both 5280"),
        ({"domain": "muc.example.org"}, "must not contain 'muc'"),
        ({"domain": "not a domain"}, "is not a host name"),
        ({"plaintext": True, "host": "0.0.0.0"}, "plaintext is for loopback only"),
        ({"unlimited": True, "host": "192.0.2.1"}, "unlimited is for loopback only"),
        ({"tls_cert": "cert.pem"}, "belong together"),
        ({"trusted_proxies": "proxy.example.org"}, "trusted_proxies: 'proxy.example.org' does not appear to be"),
        ({"trusted_proxies": "10.0.0.1/8"}, "trusted_proxies: 10.0.0.1/8 has host bits set"),
        ({"max_half_open": "-1"}, "--max-half-open must be a whole number"),
        ({"cors_origins": "app.example.org"}, "'app.example.org' is not an origin like https://app.example.org"),
        ({"cors_origins": "*, https://app.example.org/"}, "'https://app.example.org/' is not an origin"),
        ({"body_limit": "100"}, "body_limit 100 is too small"),
        ({"metrics": "some"}, "metrics 'some' is none of loopback, all, off"),
        ({"database": "mysql://x"}, "database must start with"),
        ({"log_level": "loud"}, "log_level 'loud' is none of"),
        ({"nonsense": "1"}, "there is no option --nonsense"),
    ],
)
def test_mistakes_in_flags(flags: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        Config.load(None, {}, flags)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("htp_port = 1", "there is no option 'htp_port'"),
        ('http_port = "8080x"', "must be a whole number"),
        ("http_port = true", "must be a whole number"),
        ('plaintext = "maybe"', "must be true or false"),
        ("domain = 3", "must be a text"),
        ("data = 3", "must be a path"),
        ("http_port = ", "voxcube.toml: "),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"voxcube\.toml") as error:
        load(tmp_path, toml)
    assert said in str(error.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        Config.load(tmp_path / "absent.toml", {}, {})


def test_an_unknown_variable_is_a_warning() -> None:
    warnings: list[str] = []
    Config.load(None, {"VOXCUBE_HTP_PORT": "1", "OTHER": "2"}, {}, warn=warnings.append)
    assert warnings == [
        "environment: there is no option VOXCUBE_HTP_PORT (did you mean VOXCUBE_HTTP_PORT?); it is ignored"
    ]


def service(name: str, port: int = 8080, port_name: str | None = None, protocol: str = "tcp") -> dict[str, str]:
    """The variables that Kubernetes injects for a Service."""
    prefix, address = name.upper().replace("-", "_"), "10.96.0.11"
    url, one = f"{protocol}://{address}:{port}", f"{prefix}_PORT_{port}_{protocol.upper()}"
    named = {f"{prefix}_SERVICE_PORT_{port_name.upper().replace('-', '_')}": str(port)} if port_name else {}
    return {
        f"{prefix}_SERVICE_HOST": address,
        f"{prefix}_SERVICE_PORT": str(port),
        **named,
        f"{prefix}_PORT": url,
        one: url,
        f"{one}_PROTO": protocol,
        f"{one}_PORT": str(port),
        f"{one}_ADDR": address,
    }


@pytest.mark.parametrize(
    "variables",
    [
        service("voxcube"),
        service("voxcube", port_name="http"),
        service("voxcube", 5222, "xmpp-client"),
        service("voxcube-http"),  # VOXCUBE_HTTP_PORT is an option too
        service("voxcube-https", 8443, "https"),
        service("voxcube-xmpp", 5222),
        service("voxcube-xmpps", 5223),
        service("voxcube-ws", 5280),
        service("voxcube-wss", 5291),
        service("voxcube-data"),
        service("voxcube-files", 3478, protocol="udp"),
        service("voxcube-a-b", 9999, "a-b", protocol="sctp"),
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_variables_of_kubernetes_services_are_ignored(variables: dict[str, str]) -> None:
    warnings: list[str] = []
    assert Config.load(None, variables, {}, warn=warnings.append) == Config()
    assert warnings == []


def test_an_option_beside_the_variables_of_a_service() -> None:
    """A variable that the pod's own specification sets takes the place of the injected one."""
    config = Config.load(None, service("voxcube-http") | {"VOXCUBE_HTTP_PORT": "9090", "VOXCUBE_WS_PORT": "0"}, {})
    assert (config.http_port, config.ws_port) == (9090, 0)
    with pytest.raises(ConfigError, match="VOXCUBE_HTTP_PORT must be a whole number"):
        Config.load(None, {"VOXCUBE_HTTP_PORT": "http://10.0.0.1"}, {})


@pytest.mark.parametrize(
    ("host", "allowed"), [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("::", False)]
)
def test_what_is_loopback(tmp_path: Path, host: str, allowed: bool) -> None:
    if allowed:
        assert load(tmp_path, host=host, unlimited=True).unlimited
    else:
        with pytest.raises(ConfigError):
            load(tmp_path, host=host, unlimited=True)
