"""Renewed tokens reach the disk whole, merged, private, and once, whoever else is writing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kiroproxy.accounts.credentials import load_credentials
from kiroproxy.accounts.entries import Credential, Tokens
from kiroproxy.accounts.files import FileLock, read_json, update_json, write_json
from kiroproxy.accounts.sharing import LOCK_WAIT_S
from kiroproxy.accounts.store import TokenStore
from kiroproxy.clock import SystemClock
from kiroproxy.errors import CredentialError, UpstreamError
from kiroproxy.secret import Secret
from tests.accounts.fakes import ARN, MARK, ManualClock

LONG = f"aor{MARK}" + "x" * 120
NEW = Tokens(Secret("aoaNEW"), Secret("aorNEW" + "y" * 120), 1790858096.0)


def load_one(tmp_path: Path, **env: str) -> Credential:
    (found,) = load_credentials(env, tmp_path / "home", tmp_path / "state").credentials
    return found


def ide_file(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "home/.aws/sso/cache/kiro-auth-token.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = {"accessToken": "aoaOLD", "refreshToken": LONG, "expiresAt": "2026-01-01T00:00:00Z"}
    path.write_text(json.dumps({**fields, "provider": "Google", "custom": {"k": [1]}, **changes}))
    return path


def store_at(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "state", SystemClock())


async def test_file_source_is_merged_in_place(tmp_path: Path) -> None:
    path = ide_file(tmp_path)
    path.chmod(0o644)
    store, found = store_at(tmp_path), load_one(tmp_path)
    async with store.locked(found):
        renewed = await store.save(found, NEW)
    saved = json.loads(path.read_text())
    assert saved == {
        "accessToken": "aoaNEW",
        "refreshToken": NEW.refresh.reveal(),
        "expiresAt": "2026-10-01T12:34:56.000Z",
        "provider": "Google",
        "custom": {"k": [1]},
    }
    assert path.stat().st_mode & 0o777 == 0o600
    assert renewed.id == found.id and renewed.tokens.refresh == NEW.refresh
    assert load_one(tmp_path).id == found.id  # also after a restart
    assert not (tmp_path / f"state/credentials/{found.id}.json").exists()
    assert [p.name for p in path.parent.iterdir() if p.name.endswith(".tmp")] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [(1700000000000, 1790858096000), (1700000000, 1790858096), ("x", "2026-10-01T12:34:56.000Z")],
    ids=["ms", "s", "text"],
)
async def test_expiry_keeps_the_form_its_other_users_write(
    tmp_path: Path, old: object, new: object
) -> None:
    path = ide_file(tmp_path, expiresAt=old)
    await store_at(tmp_path).save(load_one(tmp_path), NEW)
    assert json.loads(path.read_text())["expiresAt"] == new


async def test_snake_case_file_stays_snake_case(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps([{"other": 1}, {"refresh_token": "old", "access_token": "a"}]))
    found = load_one(tmp_path, KIRO_AUTH_TOKEN=str(path))
    await store_at(tmp_path).save(found, NEW)
    other, entry = json.loads(path.read_text())
    assert other == {"other": 1}
    assert entry["refresh_token"] == NEW.refresh.reveal() and entry["access_token"] == "aoaNEW"
    assert "refreshToken" not in entry


async def test_social_arn_from_a_refresh_is_kept_in_the_file(tmp_path: Path) -> None:
    path = ide_file(tmp_path)
    await store_at(tmp_path).save(load_one(tmp_path), replace(NEW, profile_arn=ARN))
    assert json.loads(path.read_text())["profileArn"] == ARN


async def test_a_link_is_followed_not_replaced(tmp_path: Path) -> None:
    real = ide_file(tmp_path)
    link = tmp_path / "link.json"
    link.symlink_to(real)
    found = load_one(tmp_path, KIRO_AUTH_TOKEN=str(link))
    await store_at(tmp_path).save(found, NEW)
    assert link.is_symlink() and json.loads(real.read_text())["accessToken"] == "aoaNEW"


async def test_environment_source_goes_to_the_state_folder(tmp_path: Path) -> None:
    found = load_one(tmp_path, AWS_REFRESHTOKEN="env1")
    store = store_at(tmp_path)
    async with store.locked(found):
        await store.save(found, replace(NEW, profile_arn=ARN))
    path = tmp_path / f"state/credentials/{found.id}.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    again = load_one(tmp_path, AWS_REFRESHTOKEN="env1")
    assert again.id == found.id
    assert again.tokens == replace(NEW, profile_arn=ARN)


async def test_another_token_in_the_environment_beats_the_record(tmp_path: Path) -> None:
    found = load_one(tmp_path, AWS_REFRESHTOKEN="env1")
    await store_at(tmp_path).save(found, NEW)
    other = load_one(tmp_path, AWS_REFRESHTOKEN="env2")
    assert other.tokens.refresh.reveal() == "env2" and other.id != found.id


async def test_rotations_of_rotations_still_descend_from_the_environment(tmp_path: Path) -> None:
    store, found = store_at(tmp_path), load_one(tmp_path, AWS_REFRESHTOKEN="env1")
    for number in range(3):
        tokens = Tokens(Secret(f"aoa{number}"), Secret(f"aor{number}"), 5.0)
        found = await store.save(found, tokens)
    assert load_one(tmp_path, AWS_REFRESHTOKEN="env1").tokens.refresh.reveal() == "aor2"


async def test_reread_sees_what_another_process_saved(tmp_path: Path) -> None:
    mine = theirs = load_one(tmp_path, AWS_REFRESHTOKEN="env1")
    await store_at(tmp_path).save(theirs, NEW)
    assert (await store_at(tmp_path).reread(mine)).tokens == NEW

    path = ide_file(tmp_path)
    mine = load_one(tmp_path)
    ide_file(tmp_path, refreshToken=LONG + "2", accessToken="aoaTHEIRS")
    again = await store_at(tmp_path).reread(mine)
    assert again.tokens.access == Secret("aoaTHEIRS") and again.id == mine.id
    path.unlink()
    with pytest.raises(CredentialError, match="the file is gone"):
        await store_at(tmp_path).reread(mine)


async def test_renewal_that_could_be_stored_nowhere_is_not_forgotten(tmp_path: Path) -> None:
    """The file still holds the token from before, which is dead by now."""
    ide_file(tmp_path)
    store, found = store_at(tmp_path), load_one(tmp_path)
    assert (await store.reread(found.with_tokens(NEW))).tokens == NEW
    ide_file(tmp_path, refreshToken="aor" + "n" * 120)  # somebody has signed in again
    again = await store.reread(found.with_tokens(NEW))
    assert again.tokens.refresh.reveal() == "aor" + "n" * 120


async def test_reread_of_a_half_written_file_waits_for_the_rest(tmp_path: Path) -> None:
    path, clock = ide_file(tmp_path), ManualClock()
    whole, mine = path.read_text(), load_one(tmp_path)
    path.write_text(whole[:40])

    class Mending(ManualClock):
        async def sleep(self, seconds: float) -> None:
            path.write_text(whole.replace("aoaOLD", "aoaMENDED"))

    store = TokenStore(tmp_path / "state", Mending())
    assert (await store.reread(mine)).tokens.access == Secret("aoaMENDED")
    assert clock.now_s == 0


async def test_sign_in_made_meanwhile_wins_over_our_renewal(tmp_path: Path) -> None:
    path = ide_file(tmp_path)
    mine = load_one(tmp_path)
    ide_file(tmp_path, refreshToken="aorIDE" + "z" * 120, accessToken="aoaIDE")
    result = await store_at(tmp_path).save(mine, NEW)
    assert result.tokens.access == Secret("aoaIDE")
    assert json.loads(path.read_text())["accessToken"] == "aoaIDE"


async def test_entry_is_found_by_its_token_when_the_array_was_reordered(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    entries = [{"refreshToken": "one"}, {"refreshToken": "two"}]
    path.write_text(json.dumps(entries))
    env = {"KIRO_AUTH_TOKEN": str(path)}
    first, second = load_credentials(env, tmp_path / "home", tmp_path / "state").credentials
    path.write_text(json.dumps(entries[::-1]))
    await store_at(tmp_path).save(first, NEW)
    assert [e["refreshToken"] for e in json.loads(path.read_text())] == [
        "two",
        NEW.refresh.reveal(),
    ]
    path.write_text(json.dumps(entries[1:]))  # the first one was removed by its user
    with pytest.raises(CredentialError, match="no longer in the file"):
        await store_at(tmp_path).reread(first)
    assert (await store_at(tmp_path).reread(second)).tokens.refresh.reveal() == "two"


async def test_unwritable_file_falls_back_to_the_state_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = ide_file(tmp_path)
    found = load_one(tmp_path)
    path.unlink()
    path.symlink_to("/proc/self/status")  # readable, no JSON, and never writable
    renewed = await store_at(tmp_path).save(found, NEW)
    assert renewed.tokens == NEW
    assert "kept in the state folder" in caplog.text and MARK not in caplog.text
    path.unlink()
    ide_file(tmp_path)  # as a read-only mount would show it: still the old token
    assert load_one(tmp_path).tokens.refresh == NEW.refresh


async def test_lock_that_stays_taken_ends_in_a_transient_error(tmp_path: Path) -> None:
    found = load_one(tmp_path, AWS_REFRESHTOKEN="env1")

    class Fast(ManualClock):
        async def sleep(self, seconds: float) -> None:
            self.now_s += LOCK_WAIT_S / 4

    other = FileLock(tmp_path / f"state/credentials/{found.id}.json")
    assert other.try_acquire()
    store = TokenStore(tmp_path / "state", Fast())
    with pytest.raises(UpstreamError, match="another process"):
        async with store.locked(found):
            pytest.fail("the lock was taken twice")
    other.release()
    async with store.locked(found):
        assert not FileLock(tmp_path / f"state/credentials/{found.id}.json").try_acquire()


def test_released_lock_is_not_taken_afterwards(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "x.json")
    lock.release()
    assert not lock.try_acquire()
    assert FileLock(tmp_path / "x.json").try_acquire()


HOLDER = """
    import sys
    from pathlib import Path
    from kiroproxy.accounts.files import FileLock
    lock = FileLock(Path(sys.argv[1]))
    print(lock.try_acquire(), flush=True)
    sys.stdin.read()
"""


def run(code: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_lock_holds_between_processes_and_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with run(HOLDER, str(path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert not FileLock(path).try_acquire()
        process.kill()
        process.wait()
    assert FileLock(path).try_acquire()


COUNTER = """
    import sys
    from pathlib import Path
    from kiroproxy.accounts.files import update_json
    def change(value):
        return {**value, sys.argv[2] + str(i): value.get("n", 0), "n": value.get("n", 0) + 1}
    for i in range(40):
        update_json(Path(sys.argv[1]), change)
"""


def test_two_processes_lose_no_update(tmp_path: Path) -> None:
    path = tmp_path / "private/x.json"
    processes = [run(COUNTER, str(path), name) for name in ("a", "b")]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    value = read_json(path)
    assert value["n"] == 80 and len(value) == 81
    assert path.stat().st_mode & 0o777 == 0o600


WRITER = """
    import sys
    from pathlib import Path
    from kiroproxy.accounts.files import write_json
    print("go", flush=True)
    n = 0
    while True:
        n += 1
        write_json(Path(sys.argv[1]), {"n": n, "pad": [n] * 20000})
"""


def test_killed_writer_leaves_the_old_or_the_new_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"n": 0, "pad": [0]})
    for _ in range(4):
        with run(WRITER, str(path)) as process:
            assert process.stdout is not None
            process.stdout.readline()
            inode = path.stat().st_ino
            while path.stat().st_ino == inode:  # in the middle of its writing
                pass
            process.kill()
        value = read_json(path)
        assert set(value["pad"]) == {value["n"]}


def test_what_killed_writers_left_goes_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "0123abcd.json"
    left, fresh, foreign = (
        tmp_path / name
        for name in (".0123abcd.json.7.ab.tmp", ".0123abcd.json.8.cd.tmp", ".other.json.7.ab.tmp")
    )
    for file in (left, fresh, foreign):
        file.write_text(MARK)
    for file in (left, foreign):
        os.utime(file, (1e9, 1e9))
    write_json(path, {})
    assert sorted(tmp_path.iterdir()) == sorted([path, fresh, foreign])  # one may be being written


def test_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"old": True})
    with pytest.raises(TypeError):
        write_json(path, {"new": object()})
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(OSError):
        write_json(target, {})
    assert read_json(path) == {"old": True}
    assert sorted(os.listdir(tmp_path)) == ["folder", "x.json"]


def test_update_of_a_broken_file_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{")
    update_json(path, lambda value: {**value, "a": 1})
    assert read_json(path) == {"a": 1}
