"""Regions, ARNs, base URLs, and the order of hosts per kind of sign-in."""

import pytest

from kiroproxy.errors import ConfigError, CredentialError
from kiroproxy.kiro.hosts import (
    BUILDER_SHARED_ARN,
    SOCIAL_SHARED_ARN,
    Binding,
    Candidate,
    api_region,
    arn_choices,
    chat_candidates,
    check_base_url,
    control_candidates,
    parse_arn,
    profile_candidates,
    valid_region,
)
from kiroproxy.kiro.identity import CredentialKind, Identity
from kiroproxy.secret import Secret

ARN = "arn:aws:codewhisperer:eu-central-1:111122223333:profile/ABCDEFGHIJKL"
TOKEN = Secret("t")
SOCIAL = Identity(CredentialKind.SOCIAL, TOKEN, ARN)
SOCIAL_NEW = Identity(CredentialKind.SOCIAL, TOKEN)
IDC_NEW = Identity(CredentialKind.IDC, TOKEN, sso_region="eu-west-1")
BUILDER = Identity(CredentialKind.IDC, TOKEN, builder_id=True)
KEY = Identity(CredentialKind.API_KEY, TOKEN)


@pytest.mark.parametrize(
    "region", ["us-east-1", "eu-central-1", "us-gov-west-1", "ap-southeast-12"]
)
def test_valid_region(region: str) -> None:
    assert valid_region(region)


@pytest.mark.parametrize(
    "region",
    ["", "us-east", "us-east-1.evil.example", "us-east-1\n", "US-EAST-1", "a@b-c-1", "x/-y-1"],
)
def test_valid_region_refuses(region: str) -> None:
    assert not valid_region(region)


def test_parse_arn_takes_it_apart() -> None:
    parsed = parse_arn(ARN)
    assert (parsed.arn, parsed.region, parsed.account) == (ARN, "eu-central-1", "111122223333")
    assert parse_arn(BUILDER_SHARED_ARN).region == parse_arn(SOCIAL_SHARED_ARN).region


@pytest.mark.parametrize(
    "arn",
    [
        "",
        ARN + "\n",
        ARN.replace("eu-central-1", "eu-central-1.evil"),
        ARN.replace("111122223333", "1111"),
        ARN.replace("ABCDEFGHIJKL", "ABC"),
        ARN.replace("codewhisperer", "s3"),
    ],
)
def test_parse_arn_refuses(arn: str) -> None:
    with pytest.raises(CredentialError, match="malformed"):
        parse_arn(arn)


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("https://q.example/", "https://q.example"),
        ("https://q.example:8443/kiro/", "https://q.example:8443/kiro"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://127.8.8.8:9000", "http://127.8.8.8:9000"),
        ("http://localhost:1", "http://localhost:1"),
        ("http://[::1]:9000/", "http://[::1]:9000"),
    ],
)
def test_check_base_url(url: str, checked: str) -> None:
    assert check_base_url(url, "KIRO_API_URL") == checked


@pytest.mark.parametrize(
    "url",
    [
        "",
        "q.example",
        "ftp://q.example",
        "https://",
        "http://q.example",
        "http://127.0.0.1.evil.example",
        "http://10.0.0.1",
        "https://user:pw@q.example",
        "https://q.example?x=1",
        "https://q.example#x",
        "https://q.example:99999",
        "https://q.example:0",
        "https://[::1",
        "https://q.example/a b",
        "https://qö.example",
    ],
)
def test_check_base_url_refuses_naming_the_setting(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^KIRO_API_URL: "):
        check_base_url(url, "KIRO_API_URL")


@pytest.mark.parametrize(
    ("identity", "region"),
    [
        (SOCIAL, "eu-central-1"),
        (SOCIAL_NEW, "us-east-1"),
        (IDC_NEW, "eu-central-1"),
        (Identity(CredentialKind.IDC, TOKEN, sso_region="ap-south-1"), "us-east-1"),
        (Identity(CredentialKind.IDC, TOKEN, sso_region="us-gov-west-1"), "us-gov-west-1"),
        (Identity(CredentialKind.IDC, TOKEN, ARN, sso_region="us-east-1"), "eu-central-1"),
        (Identity(CredentialKind.IDC, TOKEN, ARN, region_override="us-east-1"), "us-east-1"),
    ],
)
def test_api_region(identity: Identity, region: str) -> None:
    assert api_region(identity) == region


@pytest.mark.parametrize(
    "identity",
    [
        Identity(CredentialKind.IDC, TOKEN, sso_region="evil.example/"),
        Identity(CredentialKind.IDC, TOKEN, region_override="x"),
        Identity(CredentialKind.IDC, TOKEN, "arn:evil"),
    ],
)
def test_api_region_crafted_credentials_choose_no_host(identity: Identity) -> None:
    with pytest.raises(CredentialError):
        chat_candidates(identity)


def hosts(candidates: tuple[Candidate, ...]) -> list[str]:
    return [candidate.host_url.removeprefix("https://").split(".")[0] for candidate in candidates]


@pytest.mark.parametrize(
    ("identity", "chat", "control"),
    [
        (SOCIAL, ["q", "runtime"], ["q", "management"]),
        (SOCIAL_NEW, ["q", "codewhisperer"], ["q", "codewhisperer"]),
        (IDC_NEW, ["q", "codewhisperer"], ["q", "codewhisperer"]),
        (BUILDER, ["q", "codewhisperer", "runtime"], ["q", "codewhisperer", "management"]),
        (KEY, ["q", "runtime"], ["q", "management"]),
    ],
)
def test_candidates_order(identity: Identity, chat: list[str], control: list[str]) -> None:
    assert hosts(chat_candidates(identity)) == chat
    assert hosts(control_candidates(identity)) == control


def test_candidates_stay_in_the_profile_region() -> None:
    assert [c.host_url for c in chat_candidates(SOCIAL)] == [
        "https://q.eu-central-1.amazonaws.com",
        "https://runtime.eu-central-1.kiro.dev",
    ]


def test_candidates_override_is_the_only_one() -> None:
    only = (Candidate("http://127.0.0.1:9", Binding.REST),)
    for choose in (chat_candidates, control_candidates, profile_candidates):
        assert choose(SOCIAL, "http://127.0.0.1:9") == only


def test_profile_candidates_ask_every_region_european_first_for_europeans() -> None:
    assert [c.host_url for c in profile_candidates(IDC_NEW)] == [
        "https://q.eu-central-1.amazonaws.com",
        "https://q.us-east-1.amazonaws.com",
        "https://q.eu-west-1.amazonaws.com",
    ]
    assert len(profile_candidates(SOCIAL_NEW)) == 2


@pytest.mark.parametrize(
    ("identity", "free", "insisting"),
    [
        (SOCIAL, (ARN,), (ARN,)),
        (SOCIAL_NEW, (None, SOCIAL_SHARED_ARN), (SOCIAL_SHARED_ARN,)),
        (IDC_NEW, (None,), (None,)),
        (BUILDER, (None, BUILDER_SHARED_ARN), (BUILDER_SHARED_ARN,)),
        (KEY, (None,), (None,)),
        (Identity(CredentialKind.API_KEY, TOKEN, ARN), (None,), (None,)),
    ],
)
def test_arn_choices(
    identity: Identity, free: tuple[str | None, ...], insisting: tuple[str | None, ...]
) -> None:
    assert arn_choices(identity, Candidate("https://x", Binding.REST)) == free
    assert arn_choices(identity, Candidate("https://x", Binding.JSON10, True)) == insisting
