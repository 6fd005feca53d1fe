"""Checks of the sign-ins: are there any, do they renew, what is left, what do they offer."""

from __future__ import annotations

import math
from typing import Final

from kiroproxy.accounts import Credential
from kiroproxy.cli import sign_ins as known
from kiroproxy.cli.doctor.examination import Examination
from kiroproxy.cli.doctor.report import Line, fail, ok, skip, warn
from kiroproxy.cli.terminal import moment_and_distance, number
from kiroproxy.clock import SystemClock
from kiroproxy.errors import CredentialError, KiroProxyError
from kiroproxy.kiro.identity import CredentialKind
from kiroproxy.kiro.usage import UsageLimits

_DUE_S: Final = 60.0
_LITTLE: Final = 0.1  # of the credits
_AGAIN: Final = "sign in again: kiroproxy login, or in the program that the sign-in is from"
_LATER: Final = "try again later; kiroproxy doctor --yes renews it now"
_UNREACHABLE: Final = "not tried: there is no way to the service"


async def sign_ins(exam: Examination) -> list[Line]:
    loaded = exam.sign_ins()
    lines = [_sign_in(credential) for credential in loaded.credentials]
    lines += [warn(f"not used: {problem}", "mend or remove it") for problem in loaded.problems]
    if not exam.able():
        lines.append(fail("there is none that could serve", known.NO_SIGN_IN))
    return lines


def _sign_in(credential: Credential) -> Line:
    text = f"{credential.label} ({credential.id}, {credential.kind.value}, {credential.place})"
    if credential.disabled:
        return skip(f"{text}: switched off")
    if _is_key(credential):
        return ok(f"{text}: a key, which does not expire")
    expires_s = credential.tokens.expires_at_epoch_s
    if credential.tokens.access is None or not expires_s:
        return ok(f"{text}: is renewed before its first use")
    return ok(f"{text}: expires {moment_and_distance(expires_s, SystemClock().wall())}")


async def renewal(exam: Examination) -> list[Line]:
    """Of what is due; of everything with ``may_spend``."""
    lines = []
    for credential in exam.able():
        if _is_key(credential):
            lines.append(ok(f"{credential.label}: a key has nothing to renew"))
        elif not exam.may_spend and not _is_due(credential):
            lines.append(ok(f"{credential.label}: not due (--yes renews all the same)"))
        elif not exam.is_reachable:
            lines.append(fail(f"{credential.label}: {_UNREACHABLE}", "see service above"))
        else:
            lines.append(await _renew(exam, credential))
    return lines or [skip("no sign-in")]


def _is_key(credential: Credential) -> bool:
    return credential.kind is CredentialKind.API_KEY


def _is_due(credential: Credential) -> bool:
    left_s = credential.tokens.expires_at_epoch_s - SystemClock().wall()
    return credential.tokens.access is None or left_s < _DUE_S


async def _renew(exam: Examination, credential: Credential) -> Line:
    try:
        session = await exam.session()
        renewed = await session.renew(credential)
    except CredentialError as error:
        return fail(f"{credential.label}: {error.message}", _AGAIN)
    except KiroProxyError as error:
        return fail(f"{credential.label}: {error.message}", _LATER)
    left_s = renewed.tokens.expires_at_epoch_s - SystemClock().wall()
    return ok(f"{credential.label}: renewed, good for {max(0.0, left_s) / 60:.0f} min")


async def quota(exam: Examination) -> list[Line]:
    if not exam.is_reachable:
        return [skip(_UNREACHABLE)]
    lines = []
    for credential in exam.able():
        try:
            session = await exam.session()
            lines.append(_quota(credential.label, await session.usage(credential)))
        except CredentialError as error:
            lines.append(fail(f"{credential.label}: {error.message}", _AGAIN))
        except KiroProxyError as error:
            lines.append(warn(f"{credential.label}: {error.message}", "try again later"))
    return lines or [skip("no sign-in")]


def _quota(label: str, usage: UsageLimits) -> Line:
    if usage.used is None or usage.limit is None or not math.isfinite(usage.limit):
        return ok(f"{label}: {usage.plan or 'the plan'} has no limit that the service tells")
    left = max(0.0, usage.limit - usage.used)
    text = f"{label}: {usage.plan}, {number(left)} of {number(usage.limit)} credits left"
    if usage.next_reset_epoch_s is not None:
        text += f", reset {moment_and_distance(usage.next_reset_epoch_s, SystemClock().wall())}"
    if left <= 0:
        return warn(
            text, "requests fail until the reset, unless overage is allowed; add an account"
        )
    return warn(text, "mind the reset") if left < usage.limit * _LITTLE else ok(text)


async def models(exam: Examination) -> list[Line]:
    """Sets ``models``."""
    if not exam.is_reachable:
        return [skip(_UNREACHABLE)]
    lines = []
    for credential in exam.able():
        try:
            session = await exam.session()
            found = [model.id for model in await session.models(credential)]
        except KiroProxyError as error:
            remedy = _AGAIN if isinstance(error, CredentialError) else "try again later"
            lines.append(fail(f"{credential.label}: {error.message}", remedy))
            continue
        exam.models = exam.models or found
        if found:
            lines.append(ok(f"{credential.label}: {len(found)} models: {', '.join(found)}"))
        else:
            lines.append(fail(f"{credential.label}: the list is empty", "check the plan"))
    return lines or [skip("no sign-in")]
