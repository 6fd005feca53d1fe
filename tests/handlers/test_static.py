"""The dashboard's files over a real socket: guarded, revalidated, and nothing beside them."""

import re
from pathlib import Path

import pytest

from kiroproxy.handlers.static import load_assets
from tests.e2e.support import house

FOLDER = Path(__file__).parents[2] / "kiroproxy" / "dashboard"
NO_KEY = {"x-api-key": ""}


async def test_page_and_files_need_no_key(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        page = await home.send("GET", "/", headers=NO_KEY)
        assert page.body == (FOLDER / "index.html").read_bytes()
        for name, asset in load_assets().items():
            answer = await home.send("GET", f"/static/{name}", headers=NO_KEY)
            assert (answer.status, answer.body) == (200, asset.body)


async def test_every_file_of_the_folder_is_served() -> None:
    assert set(load_assets()) == {path.name for path in FOLDER.iterdir()}


async def test_guards(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        for path in ("/", "/static/app.js", "/static/style.css"):
            headers = (await home.send("GET", path)).headers
            policy = dict(
                part.split(" ", 1) for part in headers["content-security-policy"].split("; ")
            )
            assert policy["default-src"] == "'none'"
            assert set(policy.values()) == {"'none'", "'self'"}
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "access-control-allow-origin" not in headers


async def test_types(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        types = {
            name: (await home.send("GET", f"/static/{name}")).headers["content-type"]
            for name in ("app.js", "style.css", "icon.svg", "index.html")
        }
    assert types == {
        "app.js": "text/javascript; charset=utf-8",
        "style.css": "text/css; charset=utf-8",
        "icon.svg": "image/svg+xml",
        "index.html": "text/html; charset=utf-8",
    }


async def test_known_tag_is_answered_without_a_body(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        tag = (await home.send("GET", "/")).headers["etag"]
        for offered in (tag, f'"other", W/{tag}', "*"):
            again = await home.send("GET", "/", headers={"If-None-Match": offered})
            assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
        other = await home.send("GET", "/", headers={"If-None-Match": tag[:-2] + '"'})
        assert other.status == 200


async def test_head_tells_the_length_and_sends_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await home.send("HEAD", "/", headers=NO_KEY)
        size = (FOLDER / "index.html").stat().st_size
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-length"] == str(size)


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/nothing.js",
        "/static/../handlers/static.py",
        "/static/..%2fhandlers%2fstatic.py",
        "/static/%2e%2e/app.py",
        "/static/..",
        "/static/%2fetc%2fpasswd",
        "/static//etc/passwd",
        "/static/app.js/x",
        "/static/app.js%00",
        "/static/APP.JS",
        "/static/..\\app.py",
    ],
)
async def test_nothing_else_is_reached(path: str, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await home.send("GET", path)
        assert answer.status == 404
        assert answer.error["type"] == "not_found_error"


def test_nothing_comes_from_elsewhere_and_nothing_is_inline() -> None:
    for name, asset in load_assets().items():
        text = asset.body.decode()
        links = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert links == set(), name
    page = load_assets()["index.html"].body.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)


def test_data_never_becomes_markup() -> None:
    for name, asset in load_assets().items():
        assert not re.search(
            rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function",
            asset.body,
        ), name
