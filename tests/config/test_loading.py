"""Settings: precedence, every rule with its message, nothing secret shown."""

from pathlib import Path

import pytest

from kiroproxy.config import Config, Limits, Pool, is_loopback, load
from kiroproxy.errors import ConfigError

HOME = Path("/home/somebody")


def _load(
    flags: dict[str, str] | None = None,
    environment: dict[str, str] | None = None,
    dotenv: dict[str, str] | None = None,
) -> Config:
    return load(flags or {}, environment or {}, dotenv or {}, HOME)


def test_defaults() -> None:
    config = _load()
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8080)
    assert config.server.client_token is None
    assert config.server.ping_interval_s == 15
    assert config.state_dir == HOME / ".local/state/kiroproxy"
    assert config.upstream.api_url is None
    assert config.log.file is None


def test_flags_win_over_environment_over_dotenv() -> None:
    dotenv = {"PORT": "1", "HOST": "127.0.0.2", "LOG_LEVEL": "debug"}
    environment = {"PORT": "2", "HOST": "127.0.0.3"}
    config = _load({"PORT": "3"}, environment, dotenv)
    assert (config.server.port, config.server.host, config.log.level) == (3, "127.0.0.3", "debug")


def test_empty_value_counts_as_unset() -> None:
    assert _load(environment={"PORT": " ", "KIRO_CLIENT_TOKEN": ""}).server.port == 8080


WRONG = {
    "port word": ("PORT", "abc", "PORT: must be a whole number from 0 to 65535, got 'abc'"),
    "port high": ("PORT", "65536", "PORT: must be a whole number"),
    "port digits of another script": ("PORT", "٣", "PORT: must be a whole number"),
    "host with path": ("HOST", "a/b", "HOST: must be a host name"),
    "level": ("LOG_LEVEL", "loud", "LOG_LEVEL: must be one of debug, info, warning, error"),
    "format": ("LOG_FORMAT", "xml", "LOG_FORMAT: must be one of text, json"),
    "switch": ("LOG_CONSOLE", "perhaps", "LOG_CONSOLE: must be true or false"),
    "region": ("KIRO_REGION", "evil.example/", "KIRO_REGION: must be an AWS region"),
    "url scheme": ("KIRO_API_URL", "ftp://x", "KIRO_API_URL: must be a URL that starts with"),
    "url clear text": ("KIRO_API_URL", "http://example.com", "plain http only to a loopback"),
    "url user": ("KIRO_OIDC_URL", "https://u:p@example.com", "without user, query or fragment"),
    "url port": ("KIRO_API_URL", "https://example.com:99999", "must have a port"),
    "seconds": ("KIROPROXY_IDLE_TIMEOUT_S", "-1", "must be a number of seconds"),
    "seconds nan": ("KIROPROXY_IDLE_TIMEOUT_S", "nan", "must be a number of seconds"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_value_names_setting_and_rule(case: str) -> None:
    name, value, message = WRONG[case]
    with pytest.raises(ConfigError) as caught:
        _load(environment={name: value})
    assert caught.value.message.startswith(f"{name}: ")
    assert message in caught.value.message


def test_wrong_key_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        _load(environment={"KIRO_CLIENT_TOKEN": "my secret key"})
    assert "secret" not in caught.value.message


def test_open_host_needs_a_key() -> None:
    with pytest.raises(ConfigError, match="KIRO_CLIENT_TOKEN: must be set when HOST"):
        _load(environment={"HOST": "0.0.0.0"})
    config = _load(environment={"HOST": "0.0.0.0", "KIRO_CLIENT_TOKEN": "k" * 20})
    assert config.server.client_token is not None


def test_repr_holds_no_secret() -> None:
    config = _load(
        environment={"KIRO_CLIENT_TOKEN": "marked-key", "KIRO_AUTH_TOKEN": "marked-token"}
    )
    assert "marked" not in repr(config)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.evil.com"])
def test_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_client_token_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("key-in-a-file\n")
    env = {"KIRO_CLIENT_TOKEN_FILE": str(path)}
    for given in (env, {"KIRO_CLIENT_TOKEN_FILE": "~/key"}):
        token = load({}, given, {}, tmp_path).server.client_token
        assert token is not None and token.reveal() == "key-in-a-file"
    both = load({}, {**env, "KIRO_CLIENT_TOKEN": "named"}, {}, tmp_path).server.client_token
    assert both is not None and both.reveal() == "named"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"two words", b"\xff"])
def test_unusable_client_token_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^KIRO_CLIENT_TOKEN_FILE: "):
        load({}, {"KIRO_CLIENT_TOKEN_FILE": str(path)}, {}, tmp_path)


def test_import_is_share_or_copy(tmp_path: Path) -> None:
    assert load({}, {}, {}, tmp_path).copies_sign_ins is False
    assert load({}, {"KIROPROXY_IMPORT": "Copy"}, {}, tmp_path).copies_sign_ins is True
    with pytest.raises(ConfigError, match="KIROPROXY_IMPORT: must be one of share, copy"):
        load({}, {"KIROPROXY_IMPORT": "steal"}, {}, tmp_path)


def test_strict_is_off_until_asked_for() -> None:
    assert not _load().server.strict
    assert _load(environment={"KIROPROXY_STRICT": "1"}).server.strict
    with pytest.raises(ConfigError, match="KIROPROXY_STRICT: must be true or false"):
        _load(environment={"KIROPROXY_STRICT": "perhaps"})


def test_accounts_and_limits() -> None:
    given = {
        "TOKEN_SELECTION_STRATEGY": "Round_Robin",
        "CRON_NEAR_MINUTES": "30",
        "CRON_REFRESH_TOKEN": "false",
        "REQUEST_MAX_RETRIES": "0",
        "REQUEST_BASE_DELAY": "1000",
        "MAX_CONCURRENT_SESSIONS": "7",
        "SESSION_TIMEOUT_MINUTES": "2",
        "KIROPROXY_ACCOUNT_CONCURRENCY": "3",
        "KIROPROXY_ACCOUNT_REQUESTS_PER_MINUTE": "9",
        "KIROPROXY_QUEUE_WAIT_S": "0.5",
    }
    config = _load(environment=given)
    assert config.pool == Pool("round_robin", 3, 9, 1800.0, False)
    assert config.limits == Limits(7, 120.0, 0.5, 0, 1.0)
    assert (_load().pool, _load().limits) == (Pool(), Limits())
    with pytest.raises(ConfigError, match="TOKEN_SELECTION_STRATEGY: must be one of sequential"):
        _load(environment={"TOKEN_SELECTION_STRATEGY": "best"})


@pytest.mark.parametrize("name", ["PORT", "LOG_LEVEL", "KIRO_REGION", "KIROPROXY_DRAIN_S"])
def test_secret_in_the_wrong_setting_is_not_shown(name: str) -> None:
    for text in (
        "ksk_0123456789abcdef",
        "aorAAAAAG9x8:Zm9vYmFyYmF6cXV4MTIz",
        '{"refreshToken": "r1"}',
    ):
        with pytest.raises(ConfigError, match=f"{name}: ") as found:
            _load(environment={name: text})
        assert text not in found.value.message and "Zm9vYmFy" not in found.value.message


def test_home_of_a_user_nobody_knows() -> None:
    with pytest.raises(ConfigError, match="LOG_FILE: must not begin with ~ and a user"):
        _load(environment={"LOG_FILE": "~no-such-user/kiroproxy.log"})
