"""The one TLS context of the program: the system's CAs, TLS 1.2 or newer, names always checked.

There is no switch to turn verification off. Behind a proxy that re-signs TLS, point SSL_CERT_FILE
at its CA.

On Linux and the BSDs the standard library's context is used, with the CA file loaded once:
truststore would load it again inside every ``wrap_bio``, which blocks the loop for about 17 ms per
connection. On macOS and Windows truststore asks the system's own verifier, which has no file to
load; the standard library cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import ssl
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from kiroproxy.errors import ConfigError

CA_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Gentoo
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",  # older Fedora and RHEL, Amazon Linux
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # Alpine, Arch, the BSDs
)
"""Tried in order where OpenSSL's own default (a build-time path) holds no certificate."""

_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.\d+", re.IGNORECASE)
_CERTIFICATE = re.compile(
    rb"-----BEGIN [A-Z ]*CERTIFICATE-----[^-]+-----END [A-Z ]*CERTIFICATE-----"
)


async def load_tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Build the context in a thread: reading a CA bundle takes some 10 to 20 ms.

    Honours SSL_CERT_FILE and SSL_CERT_DIR as OpenSSL does: they stand in for the system's CAs.
    Raises ConfigError when they name nothing usable, or when the system has no CAs.
    """
    return await asyncio.to_thread(build_tls_context, environ)


def build_tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """As ``load_tls_context``, blocking."""
    ca_file, ca_dir = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
    context: ssl.SSLContext
    if ca_file or ca_dir:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _load_given(context, ca_file or None, ca_dir or None)
    elif sys.platform in ("darwin", "win32"):
        import truststore  # not needed elsewhere, and 4 ms to import

        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _load_system(context)
    # PROTOCOL_TLS_CLIENT already means CERT_REQUIRED and check_hostname. Not create_default_context:
    # since Python 3.13 that adds VERIFY_X509_STRICT, which many company CAs do not survive.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load_given(context: ssl.SSLContext, ca_file: str | None, ca_dir: str | None) -> None:
    if ca_file and not os.path.isfile(ca_file):
        raise ConfigError(f"SSL_CERT_FILE names no file: {ca_file}")
    if ca_dir and not all(map(os.path.isdir, ca_dir.split(os.pathsep))):
        raise ConfigError(f"SSL_CERT_DIR names no folder: {ca_dir}")
    if ca_file and ca_dir and holds_all(ca_dir, ca_file):
        ca_file = None
    try:
        context.load_verify_locations(cafile=ca_file, capath=ca_dir)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror
        raise ConfigError(f"SSL_CERT_FILE cannot be read as PEM: {ca_file} ({reason})") from None


def _load_system(context: ssl.SSLContext) -> None:
    paths = ssl.get_default_verify_paths()
    if paths.capath and paths.cafile and holds_all(paths.capath, paths.cafile):
        context.load_verify_locations(capath=paths.capath)
        return
    context.set_default_verify_paths()
    if _has_certificates(context):
        return
    load_first_bundle(context, CA_FILES)


def holds_all(ca_dir: str, ca_file: str) -> bool:
    """Whether the file has certificates, and each of them also stands in the folder, alone under a
    hashed name.

    OpenSSL then finds it there when a chain needs it. To parse all 144 of Debian's file, of which a server
    needs one or two, takes 30 ms of processor time and 1 MB for good.
    """
    try:
        wanted = set(_certificates(ca_file))
        names = os.listdir(ca_dir)
    except OSError:
        return False
    held: set[bytes] = set()
    for name in filter(_HASHED_NAME.fullmatch, names):
        with contextlib.suppress(OSError):  # a link to a file that is gone
            found = _certificates(os.path.join(ca_dir, name))
            if len(found) == 1:
                held.update(found)
    return bool(wanted) and wanted <= held


def _certificates(path: str) -> list[bytes]:
    """A digest of each certificate in a file. Raises OSError."""
    with open(path, "rb") as file:
        return [hashlib.sha256(found[0]).digest() for found in _CERTIFICATE.finditer(file.read())]


def load_first_bundle(context: ssl.SSLContext, ca_files: Sequence[str]) -> None:
    """Load the first of ``ca_files`` that exists. Raises ConfigError when none does."""
    for ca_file in ca_files:
        if os.path.isfile(ca_file):
            context.load_verify_locations(cafile=ca_file)
            return
    raise ConfigError(
        "no CA certificates on this system: install ca-certificates, or set SSL_CERT_FILE"
    )


def _has_certificates(context: ssl.SSLContext) -> bool:
    """Whether OpenSSL's default file was loaded, or its default folder holds hashed files."""
    if context.cert_store_stats()["x509_ca"]:
        return True
    folder = ssl.get_default_verify_paths().capath
    return bool(folder) and any(map(_HASHED_NAME.fullmatch, os.listdir(folder)))
