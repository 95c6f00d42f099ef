"""Redraw data/demo.png, the README's picture: `python -m tests.demo_picture` after `attachment-alerts demo`."""

import io
import re
from zoneinfo import ZoneInfo

from playwright.sync_api import sync_playwright
from rich.terminal_theme import MONOKAI

from flows.cli.demo import OWN_HOME
from flows.cli.views import groups as group_table
from flows.console.terminal import out
from tasks.queries import lookups
from tasks.settings import DEFAULTS, Settings
from tasks.store.factory import open_store
from tests.server.person import CHROMIUM

PICTURE = DEFAULTS / "demo.png"
COLUMNS = 128
GROUPS = 13


def svg() -> str:
    """The table as the command `alerts` prints it, with a font of this machine instead of one from the network."""
    store, zone = open_store(Settings(home=OWN_HOME)), ZoneInfo("UTC")
    groups, totals = lookups.groups(store)[:GROUPS], lookups.totals(store)
    out.width, out.record, out.file = COLUMNS, True, io.StringIO()
    out.print(group_table.groups_table(groups, zone))
    out.print(group_table.footer(totals, groups, zone, chosen=True))
    drawn = out.export_svg(title=f"attachment-alerts alerts --limit {GROUPS}", theme=MONOKAI)
    return re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL).replace("Fira Code", "DejaVu Sans Mono")


def draw() -> None:
    page_text = f"<body style='margin:0'>{svg()}</body>"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(viewport={"width": 1100, "height": 900}, device_scale_factor=1.25)
        page.set_content(page_text)
        page.locator("svg").screenshot(path=PICTURE, omit_background=True)
        browser.close()


if __name__ == "__main__":
    draw()
