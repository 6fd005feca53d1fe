"""The demo: the user's settings in front of another service."""

from __future__ import annotations

from pathlib import Path

from kiroproxy.config import load


def test_another_service_keeps_the_time_limits_and_nothing_of_the_users_service(
    tmp_path: Path,
) -> None:
    own = {
        "KIRO_API_URL": "https://kiro.example.com",
        "KIRO_REGION": "eu-central-1",
        "KIRO_API_KEY": "ksk_0123456789",
        "KIROPROXY_FIRST_BYTE_TIMEOUT_S": "1",
        "KIROPROXY_IDLE_TIMEOUT_S": "2",
    }
    demo = {"KIRO_API_URL": "http://127.0.0.1:1", "KIRO_OIDC_URL": "http://127.0.0.1:1"}
    config = load({}, own, {}, tmp_path).with_environment(demo)
    upstream = config.upstream
    assert (upstream.first_byte_timeout_s, upstream.idle_timeout_s) == (1.0, 2.0)
    assert (upstream.api_url, upstream.oidc_url) == ("http://127.0.0.1:1",) * 2
    assert (upstream.region, upstream.social_auth_url) == (None, None)
    assert dict(config.environment) == demo
