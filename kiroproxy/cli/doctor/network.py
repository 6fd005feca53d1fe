"""Checks of the way to the service: proxy variables, names, TLS, and the clock on the way back."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from email.utils import parsedate_to_datetime
from typing import Final

from kiroproxy.cli.doctor.examination import Examination
from kiroproxy.cli.doctor.report import Line, fail, ok, skip, warn
from kiroproxy.clock import SystemClock
from kiroproxy.errors import ConfigError, TransportError
from kiroproxy.upstream import Timeouts
from kiroproxy.upstream.origin import parse_url

_NOTICEABLE_S, _TOO_MUCH_S = 60.0, 300.0
_TIMEOUTS: Final = Timeouts(connect_s=4.0, first_byte_s=4.0, idle_s=4.0, total_s=5.0)
_OFFLINE: Final = "check this machine's network; behind a company's proxy set HTTPS_PROXY"
_VARIABLES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


async def proxy_variables(exam: Examination) -> list[Line]:
    try:
        table = exam.proxies()
    except ConfigError as error:
        exam.is_reachable = False
        return [fail(error.message, "write it as http://host:port")]
    names = [n for n in _VARIABLES if exam.config.environment.get(n) or _lower(exam, n)]
    if not names:
        return [ok("none set")]
    origin, _ = parse_url(exam.service_url())
    proxy = table.choose(origin)
    way = f"through {proxy}" if proxy else "directly"
    return [ok(f"{', '.join(names)}: the service is asked {way}")]


def _lower(exam: Examination, name: str) -> str:
    return exam.config.environment.get(name.lower(), "")


async def names(exam: Examination) -> list[Line]:
    """The first host on the way: the proxy's, if there is one."""
    if not exam.is_reachable:
        return [skip("not tried: see above")]
    origin, _ = parse_url(exam.service_url())
    proxy = exam.proxies().choose(origin)
    host = proxy.host if proxy else origin.host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return [ok(f"{host} is an address")]
    exam.is_reachable = False  # until we know better; also when the time is over
    try:
        addresses = await _resolve(host, proxy.port if proxy else origin.port)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return [fail(f"{host} has no address ({why})", _OFFLINE)]
    exam.is_reachable = True
    return [ok(f"{host} is {', '.join(addresses[:3])}")]


async def _resolve(host: str, port: int) -> list[str]:
    """In a thread that nobody waits for at the end: a dead name server costs half a minute."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[list[str]] = loop.create_future()

    def settle(found: list[str], error: Exception | None) -> None:
        if not done.done():
            if error is None:
                done.set_result(found)
            else:
                done.set_exception(error)

    def look_up() -> None:
        found: list[str] = []
        failed: Exception | None = None
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(row[4][0]) for row in rows))
        except (OSError, UnicodeError) as error:
            failed = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, found, failed)

    threading.Thread(target=look_up, name="names", daemon=True).start()
    return await done


async def service(exam: Examination) -> list[Line]:
    """A handshake and one request that needs no sign-in. Sets ``service_date``."""
    if not exam.is_reachable:
        return [skip("not tried: there is no way to the service")]
    url = exam.service_url()
    exam.is_reachable = False
    client = await exam.client(url)
    headers = [(b"user-agent", b"kiroproxy"), (b"accept", b"*/*")]
    try:
        response = await client.send("GET", f"{url}/", headers, b"", _TIMEOUTS)
    except TransportError as error:
        return [fail(error.message, _remedy(error.message))]
    exam.service_date = response.headers.get("date") or ""
    response.close()
    exam.is_reachable = True
    how = "its certificate is trusted" if url.startswith("https://") else "plain http, no TLS"
    return [ok(f"{url} answers; {how}")]


def _remedy(message: str) -> str:
    if "certificate" in message.lower() or "tls" in message.lower():
        return "where TLS is re-signed, point SSL_CERT_FILE at that authority's file; see the clock too"
    return _OFFLINE


async def clock(exam: Examination) -> list[Line]:
    """Against the date of the service's answer."""
    try:
        theirs_s = parsedate_to_datetime(exam.service_date).timestamp()
    except ValueError:
        return [skip("the service told no date to compare with")]
    skew_s = SystemClock().wall() - theirs_s
    text = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the service's"
    remedy = "set the clock (timedatectl set-ntp true): expiry times are reckoned with it"
    if abs(skew_s) > _TOO_MUCH_S:
        return [fail(text, remedy)]
    return [warn(text, remedy) if abs(skew_s) > _NOTICEABLE_S else ok(text)]
