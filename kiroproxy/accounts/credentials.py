"""All sign-ins from all sources, each checked on its own: a broken entry does not stop the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from kiroproxy.accounts.entries import Credential, Entry, parse_entry
from kiroproxy.accounts.found import Source, Surroundings
from kiroproxy.accounts.ids import IdBook
from kiroproxy.accounts.records import CREDENTIALS_FOLDER, Records
from kiroproxy.accounts.sources import SOURCES
from kiroproxy.errors import ConfigError, CredentialError
from kiroproxy.kiro.hosts import valid_region


@dataclass(frozen=True, slots=True)
class LoadResult:
    """``credentials`` in the order of use. ``problems``: a sentence for each entry that is not used.
    ``notes``: what the user may want to know, but need not mend."""

    credentials: list[Credential]
    problems: list[str]
    notes: list[str] = field(default_factory=list)

    def with_note(self, note: str) -> LoadResult:
        return replace(self, notes=[*self.notes, note])


def load_credentials(
    env: Mapping[str, str],
    home: Path,
    state_dir: Path,
    *,
    copy: bool = False,
    own: bool = True,
) -> LoadResult:
    """Read every source. Blocking; at start only. Raises ConfigError for a malformed KIRO_REGION.

    ``copy``: files of other programs are left alone, renewed tokens go to the state folder. ``own``:
    sign-ins made by ``kiroproxy login`` count too. Tokens renewed in an earlier run are taken from the
    state folder when they descend from the token that the source holds now.
    """
    around = Surroundings(env, home, state_dir, _region(env))
    loading = _Loading(around, copy)
    sources = [source for source in SOURCES if own or not source.own]
    explicit = [source for source in sources if source.explicit and source.is_set(around)]
    if explicit:
        for source in explicit:
            loading.take(source)
        return loading.result
    for source in sources:
        if not source.explicit and not loading.loaded:
            loading.take(source)
    return loading.result.with_note(_FALLBACK_NOTE)


_FALLBACK_NOTE: Final = (
    "no account is configured: the sign-in of the Kiro IDE, of Kiro CLI or of Amazon Q CLI is used, "
    "the first there is"
)


class _Loading:
    """Takes one source after another in."""

    def __init__(self, around: Surroundings, copy: bool) -> None:
        self._around = around
        self._copy = copy
        self._folder = around.state_dir / CREDENTIALS_FOLDER
        self._problems: list[str] = []
        self.loaded: dict[str, Credential] = {}

    @property
    def result(self) -> LoadResult:
        return LoadResult(list(self.loaded.values()), self._problems)

    def take(self, source: Source) -> None:
        for found in source.read(self._around):
            if isinstance(found, str):
                self._problems.append(found)
            else:
                self._add(found, is_copy=self._copy and not source.own)

    def _add(self, entry: Entry, *, is_copy: bool) -> None:
        if is_copy and entry.place.path is not None:
            entry = replace(entry, place=replace(entry.place, copied=True))
        try:
            credential = self._known(entry)
        except CredentialError as error:
            self._problems.append(f"{entry.place}: {error.message}")
            return
        if credential.id in self.loaded:
            first = self.loaded[credential.id].place
            self._problems.append(f"{credential.place}: is the same sign-in as {first}; used once")
        else:
            self.loaded[credential.id] = credential

    def _known(self, entry: Entry) -> Credential:
        """Under its lasting id, with the newest tokens. Raises CredentialError."""
        book = IdBook(self._folder)
        credential = parse_entry(entry)
        if not entry.id:
            credential = replace(credential, id=book.known(credential))
        try:
            book.record(credential)
        except OSError as error:
            self._problems.append(
                f"{credential.place}: its id cannot be kept in the state folder ({error.strerror})"
            )
        return Records(self._folder).overlay(credential)


def _region(env: Mapping[str, str]) -> str | None:
    region = env.get("KIRO_REGION", "").strip()
    if region and not valid_region(region):
        raise ConfigError("KIRO_REGION: must be a region name such as us-east-1")
    return region or None
