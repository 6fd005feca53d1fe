"""All sign-ins from all sources, each checked on its own: a broken entry does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kiroproxy.accounts.entries import Credential, parse_entry
from kiroproxy.accounts.ids import IdBook
from kiroproxy.accounts.records import CREDENTIALS_FOLDER, Records
from kiroproxy.accounts.sources import SOURCES, Found, Source, Surroundings
from kiroproxy.errors import ConfigError, CredentialError
from kiroproxy.kiro.hosts import valid_region


@dataclass(frozen=True, slots=True)
class LoadResult:
    """``credentials`` in the order of use. ``problems``: a sentence for each entry that is not used.
    ``notes``: what the user may want to know, but need not mend."""

    credentials: list[Credential]
    problems: list[str]
    notes: list[str] = field(default_factory=list)


def load_credentials(env: Mapping[str, str], home: Path, state_dir: Path) -> LoadResult:
    """Read every source. Blocking; at start only. Raises ConfigError for a malformed KIRO_REGION.

    Tokens renewed in an earlier run are taken from the state folder when they descend from the token
    that the source holds now.
    """
    around = Surroundings(env, home, _region(env))
    problems: list[str] = []
    notes: list[str] = []
    chosen = _configured(around)
    if not any(source.explicit for source in chosen):
        notes.append("no account is configured: the Kiro IDE's own sign-in is used if there is one")
    loaded: dict[str, Credential] = {}
    folder = state_dir / CREDENTIALS_FOLDER
    for found in _found(chosen, around):
        if isinstance(found, str):
            problems.append(found)
            continue
        try:
            credential = _known(parse_entry(found), folder, problems)
        except CredentialError as error:
            problems.append(f"{found.place}: {error.message}")
            continue
        if credential.id in loaded:
            first = loaded[credential.id].place
            problems.append(f"{credential.place}: is the same sign-in as {first}; used once")
        else:
            loaded[credential.id] = credential
    return LoadResult(list(loaded.values()), problems, notes)


def _region(env: Mapping[str, str]) -> str | None:
    region = env.get("KIRO_REGION", "").strip()
    if region and not valid_region(region):
        raise ConfigError("KIRO_REGION: must be a region name such as us-east-1")
    return region or None


def _configured(around: Surroundings) -> tuple[Source, ...]:
    """The explicit sources that are set (even to something broken), else the fallbacks."""
    explicit = tuple(s for s in SOURCES if s.explicit and around.value(s.name))
    return explicit or tuple(s for s in SOURCES if not s.explicit)


def _found(sources: tuple[Source, ...], around: Surroundings) -> Iterator[Found]:
    for source in sources:
        yield from source.read(around)


def _known(credential: Credential, folder: Path, problems: list[str]) -> Credential:
    """Under its lasting id, with the newest tokens."""
    book = IdBook(folder)
    credential = replace(credential, id=book.known(credential))
    try:
        book.record(credential)
    except OSError as error:
        problems.append(
            f"{credential.place}: its id cannot be kept in the state folder ({error.strerror})"
        )
    return Records(folder).overlay(credential)
