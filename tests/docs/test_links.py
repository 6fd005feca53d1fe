"""Every link between the pages leads somewhere, and every page is led to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links

LINKED = [*PAGES, ROOT / "bench" / "README.md", ROOT / "CHANGELOG.md"]


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_and_anchors_exist(page: Path) -> None:
    for link in links(page):
        if link.startswith(("https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), link
        assert file.is_relative_to(ROOT), link
        if anchor:
            assert file.suffix == ".md" and anchor in anchors(file), link


def test_every_page_is_named_in_the_readme() -> None:
    named = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}
    assert [page.name for page in PAGES[1:] if page not in named] == []


def test_anchors_are_githubs() -> None:
    assert {"sign-ins", "from-aiclient-2-apis-configjson"} <= anchors(
        ROOT / "docs" / "configuration.md"
    )
