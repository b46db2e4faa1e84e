"""The page in a real Chromium, of a running worker on real Kafka: seen, heard, operated."""

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.e2e.harness import HOUR, MINUTE, Stack, execution, integrity, key_time
from tests.tools import needs

pytestmark = [pytest.mark.kafka, pytest.mark.slow, needs("chromium")]

CHROMIUM = shutil.which("chromium") or "chromium"
BEGIN = 1_785_578_400.0  # 2026-08-01T10:00:00Z
KEY = f"availability-{key_time(BEGIN)}"
TOKEN = "a-token-of-the-tests"
SERIOUS = {"serious", "critical"}


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The shipped one, but an acknowledgement stops availability's escalation."""
    made = tmp_path / "config"
    shutil.copytree(Path(__file__).parents[2] / "config", made)
    ownership = made / "ownership.yaml"
    text = ownership.read_text()
    assert text.count("  availability:\n") == 1
    ownership.write_text(text.replace("  availability:\n", "  availability:\n    stop_on: ack\n"))
    return made


@pytest.fixture
async def stack(kafka: str, prefix: str, tmp_path: Path, policy: Path) -> AsyncIterator[Stack]:
    async with Stack(kafka, prefix, tmp_path, held_at=BEGIN, config=policy) as made:
        await made.worker().start()
        yield made


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        made = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        yield made
        await made.close()


async def opened(browser: Browser, url: str, **more: object) -> tuple[Page, list[str]]:
    """A page, and what its console complains of: a broken policy or script would be there."""
    complaints: list[str] = []
    page = await (await browser.new_context(**more)).new_page()  # type: ignore[arg-type]
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda r: None if r.url.startswith(url) else complaints.append(f"asks {r.url}"),
    )
    await page.goto(url)
    return page, complaints


async def accessible(page: Page) -> None:
    """Axe finds nothing serious."""
    found = await Axe().run(page)
    bad = [v for v in found.response["violations"] if v["impact"] in SERIOUS]
    assert [(v["id"], [node["target"] for node in v["nodes"]]) for v in bad] == [], page.url


async def break_availability(stack: Stack) -> None:
    """An hour of good executions, then twelve that fail."""
    good = [execution(BEGIN - 60 - 40 * n, agent="agent-2") for n in range(80)]
    await stack.produce(good)
    await stack.judged()
    await stack.produce([execution(BEGIN - 10 - n, good=False) for n in range(12)])


async def test_an_incident_appears_is_taken_and_its_countdown_stops(
    stack: Stack, browser: Browser
) -> None:
    url = stack.workers[0].url
    page, complaints = await opened(browser, url, timezone_id="Europe/Berlin")
    await expect(page.locator("#live")).to_have_text("live")
    await page.evaluate("window.notReloaded = true")

    await break_availability(stack)
    incident = page.locator("article.incident", has_text=KEY)
    await expect(incident).to_be_visible(timeout=20_000)
    await expect(incident).to_contain_text("Availability: breach")
    await expect(incident).to_contain_text("agent-1 12 of 12")
    await expect(incident).to_contain_text("12:00")  # Berlin's time beside UTC
    countdown = incident.locator("time.countdown")
    await expect(countdown).to_contain_text("in 29 min", timeout=20_000)
    await expect(page.locator("#summary")).to_have_text("1 open P1 incident")
    await expect(page.locator("#news")).to_have_text("1 open P1 incident")  # for screen readers
    assert await page.evaluate("window.notReloaded"), "it was reloaded"
    await accessible(page)

    # whoever is not signed in cannot take it
    await incident.get_by_role("link", name="Sign in to acknowledge").click()
    await page.get_by_label("Your name").fill("dana")
    await page.get_by_label("API token").fill("wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_have_text("This is not the API token.")
    await page.get_by_label("API token").fill(TOKEN)
    await accessible(page)
    await page.get_by_role("button", name="Sign in").click()

    # by keyboard alone
    button = page.get_by_role("button", name="Acknowledge")
    await button.focus()
    await page.keyboard.press("Enter")
    await expect(incident).to_contain_text("P1 acknowledged", timeout=20_000)
    await expect(incident).to_contain_text("dana")
    await expect(incident.locator("time.countdown")).to_have_count(0)
    await expect(incident.locator("li.stopped")).to_contain_text("stopped: does not happen")
    stack.set_clock(BEGIN + 40 * MINUTE)
    await stack.judged()
    assert stack.paged("platform-lead") == []
    assert [c for c in complaints if "401" not in c] == []


async def test_the_freeze_banner_every_page_and_what_axe_says(
    stack: Stack, browser: Browser, tmp_path: Path
) -> None:
    url = stack.workers[0].url
    await break_availability(stack)
    await stack.produce([integrity(BEGIN - 30, "conv-17")])
    await stack.judged()
    await stack.told_so("critical-alerts", "data-integrity")
    shots = tmp_path / "shots"
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 390)):
        page, complaints = await opened(
            browser,
            url,
            color_scheme=scheme,
            viewport={"width": width, "height": 900},
            reduced_motion="reduce",
        )
        freeze = page.locator("section", has=page.locator("#freeze"))
        await expect(freeze).to_contain_text(
            "Deployments are frozen: hotfixes only", timeout=20_000
        )
        await expect(freeze).to_contain_text("Data integrity, since 2026-08-01")
        for path in (
            "/",
            "/slos/availability",
            f"/incidents/{KEY}",
            "/incidents",
            "/report",
            "/deliveries",
            f"/runbooks/availability?incident={KEY}",
        ):
            await page.goto(url + path)
            await expect(page.locator("h1").first).to_be_visible()
            for chart in await page.locator(".chart").all():
                await expect(chart).to_have_attribute("aria-label", re.compile("over time"))
                await expect(chart.locator("canvas")).to_be_visible()
            await accessible(page)
            wide = await page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{path} is {wide} wide at {width}"
            name = path.strip("/").partition("?")[0].replace("/", "-") or "overview"
            shot = shots / f"{name}-{scheme}-{width}.png"
            await page.screenshot(path=shot, full_page=True)
            assert shot.stat().st_size > 10_000
        assert complaints == []


async def test_the_page_says_when_it_is_stale(stack: Stack, browser: Browser) -> None:
    page, _ = await opened(browser, stack.workers[0].url)
    await expect(page.locator("#live")).to_have_text("live")
    await stack.workers[0].kill()
    await expect(page.locator("#live")).to_have_text("the worker does not answer", timeout=20_000)
    await expect(page.locator("#live")).to_have_attribute("data-state", "stale")
    await stack.workers[0].start()
    await expect(page.locator("#live")).to_have_text("live", timeout=20_000)
    stack.set_clock(BEGIN + HOUR)  # nothing is judged that late: the status is an hour old
