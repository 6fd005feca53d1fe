"""``kiroproxy read``: what is known of every sign-in that a server would use."""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kiroproxy.cli.options import add_account, add_command, add_json, add_settings
from kiroproxy.cli.settings import load_config
from kiroproxy.cli.terminal import BOLD, facts, moment_and_distance, note, paint, say, say_json
from kiroproxy.secret import Secret

if TYPE_CHECKING:
    from kiroproxy.accounts import Credential

_EXAMPLES: Final = """\
  kiroproxy read                 all sign-ins; of each secret only whether and how long it is
  kiroproxy read 1a2b3c4d        one, by its id or name
  kiroproxy read --show          the secrets too: not for screens that others see
  kiroproxy read --json | jq '.sign_ins[].expires_epoch_s'
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    parser = add_command(
        commands,
        "read",
        _run,
        "show the facts of the sign-ins that would be used",
        more="No request is sent. Exit code 1 when there is no sign-in.",
        examples=_EXAMPLES,
    )
    add_account(parser, "only this one, by its id or name")
    parser.add_argument("--show", action="store_true", help="show the secrets themselves")
    add_json(parser)
    add_settings(parser)


def _run(arguments: argparse.Namespace) -> int:
    from kiroproxy.cli import sign_ins

    config = load_config(arguments)
    loaded = sign_ins.load(config)
    sign_ins.tell_problems(loaded)
    found = sign_ins.named(loaded.credentials, arguments.account)
    facts_of = [_Facts(c, config.state_dir, arguments.show) for c in found]
    if arguments.json:
        say_json(
            {
                "sign_ins": [one.as_json() for one in facts_of],
                "problems": loaded.problems,
                "notes": loaded.notes,
            }
        )
    else:
        for number, one in enumerate(facts_of):
            say(("\n" if number else "") + paint(one.title, BOLD))
            for line in one.lines():
                say(line)
        for text in loaded.notes if found else []:
            note(f"note: {text}")
    if not found:
        note(f"kiroproxy: {sign_ins.NO_SIGN_IN}")
    return 0 if found else 1


class _Facts:
    """One sign-in, told to people or programs. ``show``: with its secrets."""

    def __init__(self, credential: Credential, state_dir: Path, show: bool) -> None:
        from kiroproxy.accounts.records import CREDENTIALS_FOLDER, Records

        self._credential = credential
        self._show = show
        self._record = Records(state_dir / CREDENTIALS_FOLDER).path(credential)
        self._now_s = time.time()

    @property
    def title(self) -> str:
        switched_off = ", switched off" if self._credential.disabled else ""
        return f"{self._credential.label} ({self._credential.id}){switched_off}"

    def lines(self) -> list[str]:
        credential, path = self._credential, self._credential.place.path
        pairs = [
            ("source", str(credential.place)),
            ("kind", self._kind()),
            ("file", str(path) if path else "none"),
            ("renewed tokens", self._renewed_tokens()),
            ("sign-in region", credential.sso_region if not self._is_key else ""),
            ("service region", self._api_region()),
            ("profile", credential.tokens.profile_arn or "none known"),
            ("expires", self._expiry()),
        ]
        secrets = [(name, self._told(secret)) for name, secret in self._secrets().items()]
        return facts([*pairs, *secrets])

    def as_json(self) -> dict[str, Any]:
        credential, path = self._credential, self._credential.place.path
        expires_s = credential.tokens.expires_at_epoch_s
        is_known = credential.tokens.access is not None and math.isfinite(expires_s)
        return {
            "id": credential.id,
            "name": credential.label,
            "source": str(credential.place),
            "kind": credential.kind.value,
            "builder_id": credential.builder_id,
            "disabled": credential.disabled,
            "file": str(path) if path else None,
            "file_writable": self._is_writable(path) if path else None,
            "renewed_tokens_file": None if self._is_key else str(self._target()),
            "sign_in_region": credential.sso_region,
            "service_region": self._api_region(),
            "profile_arn": credential.tokens.profile_arn,
            "expires_epoch_s": expires_s if is_known and expires_s else None,
            "expires_in_s": round(expires_s - self._now_s, 3) if is_known and expires_s else None,
            "secrets": {
                name.replace(" ", "_"): self._json_of(secret)
                for name, secret in self._secrets().items()
            },
        }

    @property
    def _is_key(self) -> bool:
        return self._credential.kind.value == "api_key"

    def _kind(self) -> str:
        kind, builder_id = self._credential.kind.value, self._credential.builder_id
        if kind != "idc" or builder_id is None:
            return kind
        return "idc (AWS Builder ID)" if builder_id else "idc (IAM Identity Center)"

    def _api_region(self) -> str:
        from kiroproxy.errors import CredentialError
        from kiroproxy.kiro.endpoints import api_region
        from kiroproxy.kiro.identity import Identity

        credential = self._credential
        identity = Identity(
            credential.kind,
            Secret(""),
            credential.tokens.profile_arn,
            credential.sso_region,
            region_override=credential.region_override,
        )
        try:
            return api_region(identity)
        except CredentialError:
            return "not known"

    def _expiry(self) -> str:
        tokens = self._credential.tokens
        if self._is_key:
            return "never"
        if tokens.access is None or not tokens.expires_at_epoch_s:
            return "not known; the token is renewed before its first use"
        return moment_and_distance(tokens.expires_at_epoch_s, self._now_s)

    def _target(self) -> Path:
        """Where renewed tokens go."""
        path = self._credential.place.path
        if path is not None and self._credential.place.takes_back and self._is_writable(path):
            return path
        return self._record

    def _renewed_tokens(self) -> str:
        if self._is_key:
            return "none: a key is not renewed"
        target, path = self._target(), self._credential.place.path
        if target == path:
            return "go back into the file"
        lost = "" if self._is_writable(target) else ", which cannot be written: they will be lost"
        why = "the file cannot be written" if self._credential.place.takes_back else ""
        if path is not None and not why:
            why = "the file is another program's" if self._credential.place.key else "copied"
        return f"go to {target}{f' ({why})' if why else ''}{lost}"

    def _is_writable(self, path: Path) -> bool:
        """Files are replaced as a whole, so it is the folder that counts; it may be made yet."""
        folder = Path(os.path.realpath(path)).parent
        while not folder.exists():
            folder = folder.parent
        return os.access(folder, os.W_OK | os.X_OK)

    def _secrets(self) -> dict[str, Secret | None]:
        tokens = self._credential.tokens
        if self._is_key:
            return {"api key": tokens.access}
        secrets = {"access token": tokens.access, "refresh token": tokens.refresh}
        if self._credential.client_secret is not None:
            secrets["client secret"] = self._credential.client_secret
        return secrets

    def _told(self, secret: Secret | None) -> str:
        if not secret:
            return "none"
        text = secret.reveal()
        return text if self._show else f"set, {len(text)} characters"

    def _json_of(self, secret: Secret | None) -> object:
        if not secret:
            return None
        text = secret.reveal()
        return text if self._show else {"characters": len(text)}
