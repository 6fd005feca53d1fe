"""``decode``: bytes in, JSON lines out, damage told with its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kiroproxy.eventstream.encoder import encode_error, encode_event, encode_exception, encode_frame
from tests.test_cli import run

TEXT = encode_event("assistantResponseEvent", b'{"content":"Hi",\r\n "n": 1.50}')
STREAM = b"".join(
    (
        TEXT,
        encode_exception("ThrottlingException", b'{"message":"slow"}'),
        encode_error("InternalError", "boom"),
        encode_frame({"bytes": b"\x00\xff", "flag": True}, b"\xff\xfe"),
        encode_event("plain", b"text"),
    )
)


def decode(data: bytes, home: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "kiroproxy", "decode", *arguments],
        env={"PATH": os.defpath, "HOME": str(home), "PYTHONPATH": os.getcwd()},
        cwd=home,
        input=data,
        capture_output=True,
        timeout=30,
        check=False,
    )


def test_every_sort_of_frame(tmp_path: Path) -> None:
    done = decode(STREAM, tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0] == {
        "offset": 0,
        "kind": "event",
        "type": "assistantResponseEvent",
        "payload": {"content": "Hi", "n": 1.5},
    }
    assert b'"n": 1.50}' in done.stdout.splitlines()[0]  # numbers as the service wrote them
    assert lines[1]["kind"] == "exception" and lines[1]["type"] == "ThrottlingException"
    assert lines[1]["offset"] == len(TEXT)
    assert (lines[2]["type"], lines[2]["message"]) == ("InternalError", "boom")
    assert lines[3] == {"offset": lines[3]["offset"], "kind": "event", "base64": "//4="}
    assert lines[4]["text"] == "text"


def test_raw_shows_headers_and_sizes(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(STREAM)
    done = run(tmp_path, "decode", "--raw", "a.bin")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["headers"][":event-type"] == "assistantResponseEvent"
    assert lines[3]["headers"] == {"bytes": "AP8=", "flag": True}
    assert sum(line["bytes"] for line in lines) == len(STREAM)


def test_damage_is_told_with_its_place_and_exit_code_1(tmp_path: Path) -> None:
    second = encode_event("assistantResponseEvent", b'{"content":"there"}')
    for at, words in ((len(TEXT) + 2, "prelude checksum"), (-6, "message checksum")):
        data = bytearray(TEXT + second)
        data[at] ^= 1
        done = decode(bytes(data), tmp_path)
        assert done.returncode == 1 and len(done.stdout.splitlines()) == 1
        assert words in done.stderr.decode() and f"byte {len(TEXT)}" in done.stderr.decode()
    cut = decode(TEXT + second[:-5], tmp_path)
    assert cut.returncode == 1 and len(cut.stdout.splitlines()) == 1
    assert f"in the frame at byte {len(TEXT)}: " in cut.stderr.decode()
    assert "ended inside a frame" in cut.stderr.decode()


def test_frames_come_out_while_the_stream_goes_on(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kiroproxy", "decode"],
        env={"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": os.getcwd()},
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    with process.stdin, process.stdout:
        process.stdin.write(TEXT)
        process.stdin.flush()
        assert b"Hi" in process.stdout.readline()
        process.stdin.write(TEXT)
        process.stdin.close()
        assert b"Hi" in process.stdout.readline()
    assert process.wait(20) == 0


def test_nothing_is_no_error(tmp_path: Path) -> None:
    done = decode(b"", tmp_path, "-")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("name", ["missing.bin", "."])
def test_file_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    done = run(tmp_path, "decode", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"kiroproxy: FILE: {name} cannot be read")
