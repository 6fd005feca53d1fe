"""The TLS context: what it trusts, and that it always checks."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

import pytest
import trustme

from kiroproxy.errors import ConfigError
from kiroproxy.upstream import load_tls_context
from kiroproxy.upstream.tls import build_tls_context, load_first_bundle


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return path


def test_given_file_stands_in_for_the_system(ca_file: Path) -> None:
    context = build_tls_context({"SSL_CERT_FILE": str(ca_file)})
    assert context.cert_store_stats()["x509_ca"] == 1


def test_verification_is_on(ca_file: Path) -> None:
    context = build_tls_context({"SSL_CERT_FILE": str(ca_file)})
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_given_folder_is_taken(ca_file: Path) -> None:
    context = build_tls_context({"SSL_CERT_DIR": str(ca_file.parent)})
    assert context.get_ca_certs() == []  # in place of the system's; a folder is read when asked for


def test_system_certificates_are_loaded_or_their_absence_is_said() -> None:
    try:
        context = build_tls_context({})
    except ConfigError as error:
        assert "ca-certificates" in str(error)
    else:
        assert context.verify_mode is ssl.CERT_REQUIRED


def test_first_bundle_that_exists_is_loaded(ca_file: Path, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    load_first_bundle(context, [str(tmp_path / "missing"), str(ca_file), str(tmp_path)])
    assert context.cert_store_stats()["x509_ca"] == 1


def test_system_without_certificates_is_a_config_error(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ConfigError, match="ca-certificates"):
        load_first_bundle(context, [str(tmp_path / "missing")])


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_missing_path_is_a_config_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=name):
        build_tls_context({name: str(tmp_path / "missing")})


@pytest.mark.parametrize("content", [b"", b"not PEM", b"\x00\xff"])
def test_unreadable_file_is_a_config_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        build_tls_context({"SSL_CERT_FILE": str(path)})


async def test_context_is_built_off_the_loop(ca_file: Path) -> None:
    class Environ(dict[str, str]):
        def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
            threads.add(threading.get_ident())
            return super().get(key, default)

    threads: set[int] = set()
    await load_tls_context(Environ(SSL_CERT_FILE=str(ca_file)))
    assert threads
    assert threading.get_ident() not in threads
