"""The TLS context: what it trusts, and that it always checks."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
import trustme

from kiroproxy.errors import ConfigError
from kiroproxy.upstream import UpstreamClient, load_tls_context
from kiroproxy.upstream.tls import build_tls_context, holds_all, load_first_bundle
from tests.upstream.peers import PATIENT, Peer, serve, sized


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


def bundle_and_folder(root: Path, pems: list[bytes], names: list[str]) -> tuple[Path, Path]:
    """All of ``pems`` in one file; the first of them also in a folder, under ``names``."""
    folder = root / "certs"
    folder.mkdir()
    for pem, name in zip(pems, names, strict=False):
        (folder / name).write_bytes(b"Its subject, for people\n" + pem)
    file = root / "ca.pem"
    file.write_bytes(b"# a comment\n".join(pems))
    return file, folder


PEMS = [trustme.CA().cert_pem.bytes() for _ in range(3)]


@pytest.mark.parametrize(
    ("names", "is_whole"),
    [
        (["0a1b2c3d.0", "0a1b2c3d.1", "ffffffff.0"], True),
        (["0a1b2c3d.0", "0a1b2c3d.1"], False),  # one is in the file alone
        (["0a1b2c3d.0", "0a1b2c3d.1", "company.pem"], False),  # OpenSSL would not find it
        ([], False),
    ],
)
def test_folder_stands_in_for_a_file_that_it_holds_all_of(
    names: list[str], is_whole: bool, tmp_path: Path
) -> None:
    file, folder = bundle_and_folder(tmp_path, PEMS, names)
    (folder / "00000000.0").symlink_to("gone.pem")
    assert holds_all(str(folder), str(file)) is is_whole
    context = build_tls_context({"SSL_CERT_FILE": str(file), "SSL_CERT_DIR": str(folder)})
    assert context.cert_store_stats()["x509_ca"] == (0 if is_whole else len(PEMS))


def test_only_the_first_certificate_of_a_hashed_file_counts_as_found(tmp_path: Path) -> None:
    file, folder = bundle_and_folder(tmp_path, PEMS, ["0a1b2c3d.0"])
    (folder / "ffffffff.0").write_bytes(b"".join(PEMS[1:]))
    assert not holds_all(str(folder), str(file))


def test_folder_never_stands_in_for_a_file_without_certificates(tmp_path: Path) -> None:
    file, folder = bundle_and_folder(tmp_path, [], [])
    assert not holds_all(str(folder), str(file))
    assert not holds_all(str(folder), str(tmp_path / "missing"))
    assert not holds_all(str(tmp_path / "missing"), str(file))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl names the files")
async def test_certificate_is_found_in_the_folder_when_a_chain_needs_it(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(sized(b"ok"))

    ca = trustme.CA()
    file, folder = bundle_and_folder(tmp_path, [ca.cert_pem.bytes()], ["authority.pem"])
    subprocess.run(["openssl", "rehash", str(folder)], check=True, timeout=20)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(server_context)
    context = build_tls_context({"SSL_CERT_FILE": str(file), "SSL_CERT_DIR": str(folder)})
    assert context.cert_store_stats()["x509_ca"] == 0
    client = UpstreamClient(tls=context)
    async with serve(script, tls=server_context) as server:
        response = await client.send("POST", server.url, [], b"", PATIENT)
        assert await response.read(100) == b"ok"
        await client.aclose()
    assert context.cert_store_stats()["x509_ca"] == 1  # kept for the next one


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
