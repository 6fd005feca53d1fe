"""The config file: both kinds, what they mean, and what is said about their mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kiroproxy.config import Config, default_path, find, load
from kiroproxy.config.files import read
from kiroproxy.errors import ConfigError


def _toml(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    return load({}, environment or {}, {}, tmp_path, find(str(path), {}, tmp_path))


def _json(tmp_path: Path, value: Any, environment: dict[str, str] | None = None) -> Config:
    folder = tmp_path / "configs"
    folder.mkdir(exist_ok=True)
    path = folder / "config.json"
    path.write_text(json.dumps(value))
    path.chmod(0o600)
    return load({}, environment or {}, {}, tmp_path, find(str(path), {}, tmp_path))


def test_keys_in_either_case_tables_and_types(tmp_path: Path) -> None:
    config = _toml(
        tmp_path,
        'PORT = 9000\nlog_console = false\nlog_file = "own.log"\nKIRO_API_KEY = ["a", "b"]\n'
        '[limits]\nsession_timeout_minutes = 5\n[model_aliases]\nfast = "claude-haiku-4.5"\n',
    )
    assert config.server.port == 9000
    assert not config.log.console
    assert config.log.file == tmp_path / "own.log"
    assert config.environment["KIRO_API_KEY"] == "a,b"
    assert config.limits.session_timeout_s == 300
    assert config.model_aliases == {"fast": "claude-haiku-4.5"}
    assert config.origins["PORT"] == str(tmp_path / "config.toml")
    assert config.notes == ()


def test_accounts_become_the_auth_token(tmp_path: Path) -> None:
    config = _toml(tmp_path, '[[accounts]]\nauth = "Social"\nrefreshToken = "aor-x"\n')
    assert json.loads(config.environment["KIRO_AUTH_TOKEN"]) == [
        {"auth": "Social", "refreshToken": "aor-x"}
    ]


def test_environment_and_dotenv_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('port = 1\nlog_level = "error"\nhost = "127.0.0.9"\n')
    file = find(str(path), {}, tmp_path)
    config = load({"PORT": "3"}, {"HOST": "127.0.0.2"}, {"LOG_LEVEL": "debug"}, tmp_path, file)
    assert (config.server.port, config.server.host, config.log.level) == (3, "127.0.0.2", "debug")
    assert [config.origins[n] for n in ("PORT", "HOST", "LOG_LEVEL")] == [
        "command line",
        "environment",
        ".env",
    ]


def test_key_file_of_the_environment_wins_over_a_key_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-the-secret")
    named = {"KIRO_CLIENT_TOKEN_FILE": str(tmp_path / "key")}
    config = _toml(tmp_path, 'kiro_client_token = "from-the-file"\n', named)
    assert config.server.client_token is not None
    assert config.server.client_token.reveal() == "from-the-secret"


def test_default_place(tmp_path: Path) -> None:
    assert find("", {}, tmp_path) is None
    path = default_path({}, tmp_path)
    assert path == tmp_path / ".config/kiroproxy/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("port = 7")
    assert load({}, {}, {}, tmp_path, find("", {}, tmp_path)).server.port == 7
    assert default_path({"XDG_CONFIG_HOME": "/x"}, tmp_path) == Path("/x/kiroproxy/config.toml")


WRONG = {
    "value": ("port = 70000\n", "config.toml: port: must be a whole number"),
    "in a table": ("[a]\nport = 70000\n", "config.toml: a.port: must be a whole number"),
    "type": ("port = 1979-05-27\n", "config.toml: port: must be a text, a number, true or false"),
    "twice": ("port = 1\n[a]\nPORT = 2\n", "config.toml: a.PORT: stands there twice (as port)"),
    "no TOML": ('kiro_client_token = "marked\n', "config.toml: is not TOML (at line 1, column"),
    "accounts": ("accounts = 3\n", "config.toml: accounts: must be tables"),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_name_file_key_and_rule(case: str, tmp_path: Path) -> None:
    text, words = WRONG[case]
    with pytest.raises(ConfigError) as caught:
        _toml(tmp_path, text)
    assert words in caught.value.message
    assert "marked" not in caught.value.message


def test_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml: cannot be read"):
        find(str(tmp_path / "no.toml"), {}, tmp_path)


def test_unknown_names_are_one_note(tmp_path: Path) -> None:
    config = _toml(tmp_path, 'portt = 1\n[x]\ny = "z"\n')
    assert config.notes == (f"{tmp_path / 'config.toml'}: no such setting: portt, x.y",)


def test_secret_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('kiro_client_token = "key-of-mine"\n')
    path.chmod(0o644)
    file = find(str(path), {}, tmp_path)
    assert file is not None
    assert "kiro_client_token and can be read by others" in file.notes[0]
    assert "key-of-mine" not in repr(file) + "".join(file.notes)


def test_aiclient_file(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    pools = tmp_path / "configs" / "provider_pools.json"
    pools.write_text("{}")
    given = {
        "REQUIRED_API_KEY": "own-key",
        "SERVER_PORT": 3000,
        "HOST": "0.0.0.0",
        "MODEL_PROVIDER": "claude-kiro-oauth",
        "KIRO_OAUTH_CREDS_BASE64": None,
        "SYSTEM_PROMPT_FILE_PATH": "configs/none.txt",
        "SYSTEM_PROMPT_MODE": "overwrite",
        "PROMPT_LOG_MODE": "file",
        "PROMPT_LOG_BASE_NAME": "prompt_log",
        "REQUEST_MAX_RETRIES": 2,
        "REQUEST_BASE_DELAY": 1000,
        "CRON_NEAR_MINUTES": 10,
        "CRON_REFRESH_TOKEN": False,
        "PROVIDER_POOLS_FILE_PATH": "configs/provider_pools.json",
        "AXIOS_TIMEOUT": 120000,
        "SOMETHING_NEW": 1,
    }
    config = _json(tmp_path, given)
    assert (config.server.host, config.server.port) == ("0.0.0.0", 3000)
    assert config.server.client_token is not None
    assert config.server.client_token.reveal() == "own-key"
    assert config.prompt.overwrites
    assert config.prompt.file is None
    assert config.usage.prompts == "file"
    assert (config.limits.max_retries, config.limits.base_delay_s) == (2, 1.0)
    assert (config.pool.renew_ahead_s, config.pool.renew_in_background) == (600, False)
    assert config.environment["PROVIDER_POOLS_FILE_PATH"] == str(pools)
    assert config.upstream.first_byte_timeout_s == 120
    notes = " | ".join(config.notes)
    assert "SYSTEM_PROMPT_FILE_PATH: there is no such file" in notes
    assert "no effect here: PROMPT_LOG_BASE_NAME" in notes
    assert "not known here: SOMETHING_NEW" in notes


@pytest.mark.parametrize("provider", ["gemini-cli-oauth,claude-kiro-oauth", ["gemini-cli-oauth"]])
def test_other_providers_are_named(provider: object, tmp_path: Path) -> None:
    config = _json(tmp_path, {"MODEL_PROVIDER": provider})
    assert "only claude-kiro-oauth is served here, not gemini-cli-oauth" in config.notes[0]


def test_default_key_is_refused_on_an_open_address(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json: REQUIRED_API_KEY: must not be the well"):
        _json(tmp_path, {"REQUIRED_API_KEY": "123456", "HOST": "0.0.0.0"})
    with pytest.raises(ConfigError, match=r"^KIRO_CLIENT_TOKEN: must not be the well-known"):
        load({}, {"KIRO_CLIENT_TOKEN": "123456", "HOST": "0.0.0.0"}, {}, tmp_path)
    config = _json(tmp_path, {"REQUIRED_API_KEY": "123456", "HOST": "127.0.0.1"})
    assert config.notes[0].startswith("WARNING: ")


def test_aiclient_mistakes_name_the_files_own_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json: SERVER_PORT: must be a whole number"):
        _json(tmp_path, {"SERVER_PORT": "x"})
    with pytest.raises(ConfigError, match=r"config\.json: AXIOS_TIMEOUT: must be a number of mill"):
        _json(tmp_path, {"AXIOS_TIMEOUT": "soon"})
    with pytest.raises(ConfigError, match="must hold a JSON object"):
        _json(tmp_path, [1])


def test_kiro2api_variables() -> None:
    config = load(
        {},
        {
            "GIN_MODE": "debug",
            "TOKEN_REFRESH_TIMEOUT": "30s",
            "TOKEN_SELECTION_STRATEGY": "balanced",
            "SERVER_READ_TIMEOUT_MINUTES": "35",
            "SAVE_RAW_DATA": "true",
            "MAX_TOOL_DESCRIPTION_LENGTH": "20000",
            "INSTANCE_ID": "node-1",
        },
        {},
        Path("/home/somebody"),
    )
    assert config.log.level == "debug"
    assert config.upstream.refresh_timeout_s == 30
    assert config.pool.strategy == "round_robin"
    assert config.server.read_timeout_s == 2100
    assert config.prompt.description_chars == 10_240
    assert config.server.instance == "node-1"
    assert config.notes == (
        "has no effect here: SAVE_RAW_DATA (PROMPT_LOG_MODE logs prompts and answers)",
    )
    quiet = load({}, {"GIN_MODE": "debug", "LOG_LEVEL": "info"}, {}, Path("/home/somebody"))
    assert quiet.log.level == "info"


def test_path_that_cannot_be_one_is_left_out(tmp_path: Path) -> None:
    for text in ("x" * 5000, "a\x00b", "\ud800"):
        config = _json(tmp_path, {"SYSTEM_PROMPT_FILE_PATH": text})
        assert any("there is no such file" in note for note in config.notes)


def test_key_in_the_place_of_the_provider_is_not_shown(tmp_path: Path) -> None:
    config = _json(tmp_path, {"MODEL_PROVIDER": ["gemini-cli-oauth", "ksk_0123456789abcdef"]})
    assert any("not gemini-cli-oauth, …" in note for note in config.notes)
    assert not any("ksk_" in note for note in config.notes)


@pytest.mark.parametrize("text", ["a = " + "[" * 10_000, "a = " + "{b = " * 10_000])
def test_toml_nested_too_deeply_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.toml: is nested too deeply"):
        read(path, tmp_path)
