"""The dashboard in a real browser, in front of the whole program and the simulator."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.dashboard.support import DESKTOP, PHONE, opened
from tests.e2e.support import KEY, House, house, turn

pytestmark = pytest.mark.browser

SHOTS = os.environ.get("KIROPROXY_SCREENSHOTS", "")
"""A folder for pictures to look at."""


async def live(page: Page) -> None:
    await expect(page.locator("#link")).to_have_text("Live")


async def test_accounts_with_state_and_quota(browser: Browser, tmp_path: Path) -> None:
    async with house(tmp_path, "social", "idc") as home, opened(browser, home.port) as at:
        cards = at.page.locator(".account")
        await expect(cards).to_have_count(2)
        first = cards.first
        await expect(first.locator(".pill")).to_have_text("ready")
        await expect(first.get_by_role("meter", name="Credits used")).to_be_visible()
        await expect(first).to_contain_text("credits left")
        await expect(first).to_contain_text("Resets")
        await expect(at.page.locator("#fig-ready")).to_have_text("2 of 2")


async def test_state_change_is_seen_without_reload(browser: Browser, tmp_path: Path) -> None:
    async with house(tmp_path, "social") as home, opened(browser, home.port) as at:
        await live(at.page)
        home.kiro.faults.next("rate", retry_after=600)
        await home.ask("hello")
        card = at.page.locator(".account")
        await expect(card.locator(".pill")).to_have_text("cooling")
        await expect(card.locator(".why")).to_contain_text("Ends in")
        await expect(at.page.locator("#fig-ready")).to_have_text("0 of 1")


async def test_request_appears_as_it_finishes(browser: Browser, tmp_path: Path) -> None:
    async with house(tmp_path) as home, opened(browser, home.port) as at:
        await live(at.page)
        await expect(at.page.locator("#no-requests")).to_be_visible()
        await home.ask("[[sim:text 50]]", stream=True)
        await expect(at.page.locator("#request-rows > tr")).to_have_count(1)
        await expect(at.page.locator("#request-rows")).to_contain_text("answered")
        await expect(at.page.locator("#request-rows")).to_contain_text("claude-sonnet-4-5")
        await expect(at.page.locator("#no-requests")).to_be_hidden()
        await expect(at.page.locator("#fig-hour")).to_have_text("1")
        await expect(at.page.locator(".chart .headline").first).to_have_text("1, 0 failed")


async def test_numbers_say_where_they_come_from(browser: Browser, tmp_path: Path) -> None:
    """The marks in the row and the words in its details follow the API's own tags."""
    async with house(tmp_path) as home:
        await home.ask("[[sim:text 50]]", stream=True)
        record = (await home.send("GET", "/api/requests")).json["requests"][0]
        async with opened(browser, home.port) as at:
            await at.page.locator(".expand").click()
            details = at.page.locator(".more")
            tokens = at.page.locator('#request-rows > tr [data-label="Tokens"]').first
            marked = (await tokens.inner_text()).count("≈")
            sources = [record["sources"][n] for n in ("input_tokens", "output_tokens")]
            assert marked == sum(source != "reported" for source in sources)
            words = {
                "reported": "reported by the service",
                "derived": "derived from its context percentage",
                "estimated": "estimated here",
            }
            await expect(details).to_contain_text(f"{record['output_tokens']}, {words[sources[1]]}")
            await expect(details).to_contain_text(record["id"])


async def test_failures_are_named_and_explained(browser: Browser, tmp_path: Path) -> None:
    async with house(tmp_path) as home, opened(browser, home.port) as at:
        await live(at.page)
        await home.ask("hello")
        await home.ask("[[sim:fault improper]]")
        await expect(at.page.locator(".failure")).to_have_count(1)
        await expect(at.page.locator(".failure")).to_contain_text("1 of the 2 listed")
        await at.page.get_by_label("failures only").check()
        await expect(at.page.locator("#request-rows > tr")).to_have_count(1)
        await at.page.locator(".expand").press("Enter")
        await expect(at.page.locator(".more")).to_contain_text("Error")
        await expect(at.page.locator(".expand")).to_be_focused()


async def test_data_is_shown_as_text(browser: Browser, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    async with house(tmp_path) as home:
        body = {**turn("hello"), "model": hostile}
        await home.send("POST", "/v1/messages", body, {"User-Agent": hostile})
        async with opened(browser, home.port) as at:
            await expect(at.page.locator("#request-rows")).to_contain_text(hostile)
            assert await at.page.locator("main img").count() == 0


async def test_older_requests_are_fetched_on_demand(browser: Browser, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        for number in range(30):
            await home.ask(f"[[sim:say {number}]]")
        async with opened(browser, home.port) as at:
            rows = at.page.locator("#request-rows > tr")
            await expect(rows).to_have_count(25)
            await at.page.get_by_role("button", name="Older requests").click()
            await expect(rows).to_have_count(30)
            await expect(at.page.locator("#older")).to_be_hidden()


async def test_plots_are_read_with_pointer_and_keys(browser: Browser, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.ask("[[sim:text 50]]")
        async with opened(browser, home.port) as at:
            chart = at.page.locator(".chart").first
            await expect(chart.locator(".headline")).to_have_text("1, 0 failed")
            plot = chart.locator(".plot")
            await plot.focus()
            await plot.press("End")
            found = [await chart.locator(".tip").inner_text()]
            await plot.press("ArrowLeft")  # the minute may have turned since
            found.append(await chart.locator(".tip").inner_text())
            assert any("not failed 1" in text for text in found)
            assert await chart.locator(".unseen").inner_text()
            await plot.press("Escape")
            await expect(chart.locator(".tip")).to_be_hidden()
            await plot.hover()
            await expect(chart.locator(".tip")).to_be_visible()


async def test_spans_and_table(browser: Browser, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.ask("[[sim:text 50]]")
        async with opened(browser, home.port) as at:
            await at.page.get_by_text("The same as a table").click()
            table = at.page.locator("#numbers-table")
            for name, head in (
                ("30 days", "By day"),
                ("2 days", "By hour"),
                ("1 hour", "By minute"),
            ):
                button = at.page.get_by_role("button", name=name)
                await button.click()
                await expect(button).to_have_attribute("aria-pressed", "true")
                await expect(table.get_by_role("columnheader").first).to_have_text(head)
                await expect(table.locator("tbody tr")).to_have_count(1)


async def test_from_another_machine_the_key_is_asked_for(browser: Browser, tmp_path: Path) -> None:
    async with (
        house(tmp_path) as home,
        opened(browser, home.port, host="proxy.test", quiet=False) as at,
    ):
        form = at.page.locator("#key")
        await expect(form).to_be_visible()
        await expect(at.page.locator("#link")).to_have_text("Locked")
        await form.get_by_label("Key").fill("wrong")
        await form.get_by_role("button").click()
        await expect(at.page.locator("#key-error")).to_contain_text("wrong key")
        await form.get_by_label("Key").fill(KEY)
        await form.get_by_role("button").click()
        await expect(at.page.locator(".account")).to_have_count(1)
        await expect(form).to_be_hidden()
        await live(at.page)
        kept = "[Object.values(sessionStorage), Object.values(localStorage), document.cookie]"
        assert await at.page.evaluate(kept) == [[KEY], [], ""]
        await at.page.reload()
        await live(at.page)


async def test_set_up_has_this_address_and_the_key(browser: Browser, tmp_path: Path) -> None:
    async with house(tmp_path) as home, opened(browser, home.port, quiet=False) as at:
        await at.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        lines = at.page.locator("#setup-panel pre")
        await expect(lines).to_contain_text(f"ANTHROPIC_BASE_URL=http://127.0.0.1:{home.port}\n")
        await expect(lines).to_contain_text("ANTHROPIC_AUTH_TOKEN=YOUR_KEY")
        await at.page.get_by_label("Your key").fill("kp-123")
        await expect(lines).to_contain_text("ANTHROPIC_AUTH_TOKEN=kp-123")
        await at.page.get_by_role("button", name="Copy").click()
        await expect(at.page.locator(".copy")).to_have_text("Copied")
        copied = await at.page.evaluate("navigator.clipboard.readText()")
        assert copied == await lines.inner_text()
        await at.page.get_by_role("tab", name="Claude Code").press("ArrowRight")
        await expect(at.page.get_by_role("tab", name="Codex")).to_be_focused()
        await expect(lines).to_contain_text(f'base_url = "http://127.0.0.1:{home.port}/v1"')


async def test_set_up_is_honest_about_routes_that_are_not_served(
    browser: Browser, tmp_path: Path
) -> None:
    async with house(tmp_path) as home, opened(browser, home.port, quiet=False) as at:
        tabs = {
            "Codex": "/v1/responses",
            "OpenAI, Python": "/v1/chat/completions",
            "curl": "/v1/messages",
        }
        for name, route in tabs.items():
            served = (await home.send("OPTIONS", route)).status != 404
            await at.page.get_by_role("tab", name=name).click()
            notice = at.page.locator("#setup-panel .notice")
            await expect(notice).to_be_visible(visible=not served)


async def test_a_lost_line_comes_back(browser: Browser, tmp_path: Path) -> None:
    async with AsyncExitStack() as page:
        async with house(tmp_path) as home:
            port = home.port
            at = await page.enter_async_context(opened(browser, port, quiet=False))
            await live(at.page)
        await expect(at.page.locator("#link")).to_have_text("Reconnecting")
        async with house(tmp_path, PORT=str(port)) as home:
            await live(at.page)
            await home.ask("[[sim:say again]]")
            await expect(at.page.locator("#request-rows > tr")).to_have_count(1)


async def test_theme_is_chosen_and_kept(browser: Browser, tmp_path: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    async with house(tmp_path) as home, opened(browser, home.port, color_scheme="dark") as at:
        dark = await at.page.evaluate(paper)
        button = at.page.locator("#theme")
        await button.click()
        await expect(button).to_have_text("Theme: light")
        light = await at.page.evaluate(paper)
        assert light != dark
        await at.page.reload()
        assert await at.page.evaluate(paper) == light
        await button.click()
        await expect(button).to_have_text("Theme: dark")
        assert await at.page.evaluate(paper) == dark
        await button.click()
        await expect(button).to_have_text("Theme: auto")


LOW_CONTRAST = (Path(__file__).parent / "contrast.js").read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_fits_and_can_be_read(
    scheme: str, size: tuple[int, int], browser: Browser, tmp_path: Path
) -> None:
    async with house(tmp_path, "social", "idc", "api_key") as home:
        await some_traffic(home)
        async with opened(browser, home.port, size=size, color_scheme=scheme) as at:
            await live(at.page)
            await expect(at.page.locator("#request-rows > tr")).not_to_have_count(0)
            await at.page.locator(".expand").first.click()
            width = await at.page.evaluate("document.documentElement.scrollWidth")
            assert width <= size[0]
            if SHOTS:
                await at.page.screenshot(path=f"{SHOTS}/{scheme}-{size[0]}.png", full_page=True)
            assert await at.page.evaluate(LOW_CONTRAST) == []


async def some_traffic(home: House) -> None:
    for number in range(6):
        await home.ask(f"[[sim:text {20 * number + 10}]]", stream=number % 2 == 0)
    await home.ask("[[sim:fault improper]]")
    await home.ask("[[sim:fault rate]]")


async def test_everything_has_a_name(browser: Browser, tmp_path: Path) -> None:
    """Every control has an accessible name, every section a heading, and the first Tab skips ahead."""
    nameless = """[...document.querySelectorAll("button, input, a, [role=meter], svg.plot")].filter(
        (node) => !(node.getAttribute("aria-label") || node.innerText?.trim() || node.labels?.length)
    ).map((node) => node.outerHTML)"""
    async with house(tmp_path) as home:
        await home.ask("hello")
        async with opened(browser, home.port) as at:
            await live(at.page)
            await expect(at.page.locator("#request-rows > tr")).to_have_count(1)
            assert await at.page.evaluate(nameless) == []
            for name in ("Accounts", "Activity", "Requests", "Set-up"):
                await expect(
                    at.page.get_by_role("heading", name=name, exact=True).first
                ).to_be_visible()
            await at.page.keyboard.press("Tab")
            await expect(at.page.get_by_role("link", name="Skip to content")).to_be_focused()


async def test_steady_news_do_not_hold_up_the_sums(browser: Browser, tmp_path: Path) -> None:
    async with house(tmp_path) as home, opened(browser, home.port) as at:
        await live(at.page)
        figure = at.page.locator("#fig-hour")
        for _ in range(40):  # four times as often as the page waits before it asks
            await home.ask("[[sim:say hi]]")
            await at.page.wait_for_timeout(350)
            if await figure.inner_text() not in ("0", "–"):
                break
        assert int(await figure.inner_text()) < 40
        assert await figure.inner_text() != "0"
