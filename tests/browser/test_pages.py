"""What a rep sees and does, in a real browser: by touch, by keyboard, without scripts, on a narrow phone."""

import re
from collections.abc import Callable
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Site

pytestmark = pytest.mark.needs_browser

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
PAGES = ("/", "/inbox", "/inbox?view=not-sent", "alert", "linked")


def address_of(site: Site, which: str) -> str:
    """The address of a page by its short name."""
    if which == "alert":
        return f"{site.address}/inbox/{site.alert()}"
    return site.linked() if which == "linked" else site.address + which


def test_the_most_urgent_customer_stands_first_and_leads_to_the_call(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/")
    page.get_by_role("link", name="Inbox").last.click()

    names = page.locator(".row h2").all_inner_texts()
    assert names == ["Brightwater & Daughters Agricultural Machinery Ltd", "Acme Tools", "Copperfield"]
    page.get_by_role("link", name="Acme Tools").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Acme Tools")
    expect(page.get_by_role("link", name="Call +44 20 7946 0018")).to_have_attribute(
        "href", "tel:+442079460018"
    )
    expect(page.locator(".ask")).to_contain_text("Who supplies your drill bits?")


def test_done_takes_it_off_the_list_and_undo_brings_it_back(site: Site, page: Page) -> None:
    page.goto(address_of(site, "alert"))
    page.get_by_role("button", name="Done, I called").click()

    expect(page).to_have_url(re.compile(r"/inbox\?undo="))
    expect(page.locator(".row")).to_have_count(2)
    assert site.state()[0] == "done"
    page.get_by_role("button", name="Undo").click()

    expect(page.get_by_role("button", name="Done, I called")).to_be_visible()
    assert site.state()[0] == "open"


@pytest.mark.parametrize("until", ["Tomorrow", "Next week"])
def test_snoozing_moves_it_to_the_snoozed_ones(site: Site, page: Page, until: str) -> None:
    page.goto(address_of(site, "alert"))
    page.get_by_role("button", name=until).click()
    page.get_by_role("link", name="Snoozed").click()

    expect(page.locator(".row h2")).to_have_text(["Acme Tools"])
    assert site.state()[0] == "snoozed"


def test_dismissing_asks_for_a_reason_and_keeps_it(site: Site, page: Page) -> None:
    page.goto(address_of(site, "alert"))
    page.get_by_text("Not useful…").click()
    page.get_by_role("button", name="Not useful").click()
    assert site.state()[0] == "open", "the browser asks for a reason first"

    page.get_by_label("The figures are wrong").check()
    page.get_by_label("In your words, if you like").fill("The price was agreed")
    page.get_by_role("button", name="Not useful").click()

    expect(page).to_have_url(re.compile(r"undo="))
    expect(page.get_by_text("Nothing of this kind about this customer until")).to_be_visible()
    state, reason = site.state()
    assert state == "dismissed"
    assert str(reason).startswith("The figures are wrong: The price was agreed. Nothing of this kind")


def test_everything_is_reached_and_done_with_the_keyboard(site: Site, page: Page) -> None:
    page.goto(f"{site.address}/inbox")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    assert _press_until(page, lambda focus: focus == "Acme Tools"), "the alert is reached by Tab"
    outline = page.locator(":focus").evaluate("each => getComputedStyle(each).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**/inbox/*-*")
    assert _press_until(page, lambda focus: focus == "Done, I called")
    page.keyboard.press("Enter")
    page.wait_for_url("**undo=*")

    assert site.state()[0] == "done"


def _press_until(page: Page, is_there: Callable[[str], bool]) -> bool:
    for _ in range(30):
        page.keyboard.press("Tab")
        if is_there(page.locator(":focus").inner_text()):
            return True
    return False


def test_it_works_without_javascript(site: Site, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 375, "height": 800})
    page = context.new_page()
    page.goto(f"{site.address}/inbox")
    page.get_by_role("link", name="Copperfield").click()
    page.get_by_text("Not useful…").click()
    page.get_by_label("Not worth a call").check()
    page.get_by_role("button", name="Not useful").click()
    page.get_by_role("button", name="Undo").wait_for()
    context.close()

    assert site.state("Copperfield")[0] == "dismissed"
    assert str(site.state("Copperfield")[1]).startswith("Not worth a call. ")


def test_a_mails_link_acts_only_on_the_button(site: Site, page: Page) -> None:
    page.goto(site.linked())
    page.reload()
    assert site.state()[0] == "open", "opening it changes nothing"
    assert page.get_by_role("link", name="Inbox").count() == 0, "it leads nowhere else"

    page.get_by_label("Remind me tomorrow").check()
    page.get_by_role("button", name="Confirm").click()
    page.get_by_role("button", name="Undo").wait_for()
    assert site.state()[0] == "snoozed"
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Confirm").wait_for()
    assert site.state()[0] == "open"


def test_nothing_scrolls_sideways_on_the_narrowest_phone(site: Site, page: Page) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    widths = {}
    for which in PAGES:
        page.goto(address_of(site, which))
        if which == "alert":
            page.get_by_text("Not useful…").click()
        widths[which] = page.evaluate("document.documentElement.scrollWidth")

    assert widths == dict.fromkeys(PAGES, 320)


def test_buttons_and_links_are_large_enough_for_a_thumb(site: Site, page: Page) -> None:
    low = {}
    for which in PAGES:
        page.goto(address_of(site, which))
        low[which] = page.locator(
            "button:visible, a:visible:not(.skip), select:visible, summary:visible"
        ).evaluate_all(
            "all => all.filter(each => !each.closest('li.row') && each.getBoundingClientRect().height < 44)"
            ".map(each => each.outerHTML)"
        )

    assert low == {which: [] for which in PAGES}


def test_it_is_readable_by_day_and_by_night(site: Site, page: Page) -> None:
    for which in PAGES:
        pictures = {}
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.goto(address_of(site, which))
            pictures[scheme] = page.screenshot(full_page=True)
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            brightness = sum(map(int, re.findall(r"\d+", ground)[:3])) / 3
            assert brightness > 200 if scheme == "light" else brightness < 60, which
        assert min(map(len, pictures.values())) > 5000, which
        assert pictures["light"] != pictures["dark"], which


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_no_barrier(site: Site, browser: Browser, axe: str, scheme: Scheme) -> None:
    addresses = {which: address_of(site, which) for which in PAGES}
    addresses["mails"] = site.sink.url
    addresses["mail"] = f"{site.sink.url}mails/{site.sink.mails()[0].name}"
    context = browser.new_context(
        viewport={"width": 375, "height": 800}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    barriers = []
    for which, address in addresses.items():
        page.goto(address)
        page.evaluate(axe)
        # The mail itself is shown in a sandbox that runs nothing, so axe cannot look inside.
        found = page.evaluate("axe.run(document, {iframes: false}).then(result => result.violations)")
        barriers += [(which, each["id"], [node["html"] for node in each["nodes"]]) for each in found]
    context.close()

    assert barriers == []


def test_the_mail_sinks_page_shows_a_mail(site: Site, page: Page) -> None:
    page.goto(site.sink.url)
    page.get_by_role("link", name="Acme Tools: Buys drills, never drill bits").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("Buys drills, never drill bits")
    inside = page.frame_locator("iframe")
    expect(inside.get_by_role("heading", name="Acme Tools")).to_be_visible()
    expect(inside.get_by_role("link", name="Done, later, or not useful")).to_have_attribute(
        "href", re.compile(r"/a/")
    )
    expect(page.locator("pre")).to_contain_text("ASK: Who supplies your drill bits?")
    expect(page.locator("pre")).to_contain_text("£125 margin to win")
