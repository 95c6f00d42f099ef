"""A person at the Prefect UI: Debian's Chromium, driven by Playwright."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

from playwright.sync_api import Locator, Page, TimeoutError, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"  # see the README; not one of Playwright's downloads
ALONE = (  # no sandbox, because root may run the tests; no requests to other servers
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE = 60_000.0  # milliseconds, on a busy machine
LONGEST_RUN = 240_000.0
WIDTH, HEIGHT = 1100, 900


@contextmanager
def at_the_ui(url: str, pictures: Path) -> Iterator["Person"]:
    """A browser for this server only. It ends with a screenshot, also if the test fails."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ALONE)
        page = browser.new_page(base_url=url, viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(PATIENCE)
        page.route(lambda asked: not asked.startswith(url), lambda route: route.abort())
        expect.set_options(timeout=PATIENCE)
        person = Person(page, pictures)
        try:
            yield person
        finally:
            person.takes_a_picture("last")
            browser.close()


class Person:
    """Uses labels, buttons and texts only, not the structure of a page."""

    def __init__(self, page: Page, pictures: Path) -> None:
        self.page, self._pictures = page, pictures

    def opens(self, *names: str) -> None:
        """Click links and buttons, starting with the menu."""
        for name in names:
            self.presses(name)

    def presses(self, name: str) -> None:
        link = self.page.get_by_role("link", name=name, exact=True)
        link.or_(self.page.get_by_role("button", name=name, exact=True)).first.click()

    def runs(self, deployment: str, how: str) -> None:
        """Open the form of a deployment: in a dialog (`Quick run`) or on a page of its own (`Custom run`)."""
        self.finds(deployment)
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name=how).click()

    def finds(self, deployment: str) -> None:
        """Open the page of a deployment."""
        self.opens("Deployments")
        self.page.get_by_placeholder("Search deployments").fill(deployment)  # the list has more than one page …
        self.sees("Page 1 of 1")  # … until it shows what was found
        self.presses(deployment)

    def fills(self, label: str, value: str) -> None:
        self._field(label).fill(value)

    def chooses(self, label: str, value: str) -> None:
        self.clicks(self._field(label), self.page.get_by_role("option", name=value, exact=True))
        option = self.page.get_by_role("option", name=value, exact=True)
        option.click()
        option.wait_for(state="hidden")

    def fills_or_chooses(self, label: str, value: str) -> None:
        """A list of existing values, or a text field if there are none."""
        field = self._field(label)
        expect(field).to_be_visible()
        if field.evaluate("field => field.matches('input, textarea')"):
            field.fill(value)
        else:
            self.chooses(label, value)

    def clicks(self, button: Locator, until: Locator) -> None:
        """Click again if nothing happens, as a person does.

        Prefect's pages now and then let the first click pass, while something else closes; and on SQLite its server
        now and then refuses a change (503), which they do not tell.
        """
        button.click()
        with suppress(TimeoutError):
            until.wait_for(timeout=6_000)
        if not until.is_visible():
            button.click()
            until.wait_for()

    def switches(self, label: str) -> None:
        self._field(label).click()

    def picks(self, label: str, day: date) -> None:
        """Choose the start of a day in the calendar of a time field."""
        calendar = self.page.get_by_role("dialog").last
        self.clicks(self._field(label), calendar)
        calendar.get_by_label("Choose the Year").select_option(str(day.year))
        calendar.get_by_label("Choose the Month").select_option(str(day.month - 1))
        calendar.get_by_role("button", name=re.compile(rf"{day:%A, %B} {day.day}\D\D, {day.year}")).click()
        self.page.keyboard.press("Escape")
        expect(calendar).to_be_hidden()
        expect(self._field(label)).to_have_text(f"{day:%m/%d/%Y} 12:00 AM")

    def sees(self, text: str) -> None:
        expect(self.page.get_by_text(text).first).to_be_visible()

    def starts(self, button: Locator) -> None:
        """Start a run with the button of its form, and follow the link that appears."""
        link = (
            self.page.get_by_role("button", name="View run").or_(self.page.get_by_role("link", name="View run")).first
        )
        expect(link).to_be_hidden()  # the message about the previous run, which is shown for some seconds
        self.clicks(button, link)
        link.click()
        self.page.get_by_role("tab", name="Job Variables").wait_for()  # the run's page; its address comes earlier

    def waits_for_the_end(self) -> str:
        """The final state of the run of this page."""
        badge = self.page.get_by_text(re.compile("^(Completed|Failed|Crashed|Cancelled)$")).first
        badge.wait_for(timeout=LONGEST_RUN)
        return badge.inner_text()

    def takes_a_picture(self, name: str, *, whole: bool = False) -> None:
        """A screenshot of the window, or of the full page."""
        if not whole:
            self.page.screenshot(path=self._pictures / f"{name}.png", animations="disabled")
            return
        length = "Math.max(...[...document.querySelectorAll('*')].map(each => each.scrollHeight))"
        self.page.set_viewport_size({"width": WIDTH, "height": min(int(self.page.evaluate(length)) + 1, 4000)})
        self.page.screenshot(path=self._pictures / f"{name}.png", animations="disabled")
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})

    def _field(self, label: str) -> Locator:
        return self.page.get_by_label(re.compile(rf"^(Select )?{re.escape(label)}( \(Optional\))?$")).first
