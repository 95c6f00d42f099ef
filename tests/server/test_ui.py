"""The Prefect UI as a person uses it: save, test and poll a connector, then backfill."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect
from prefect.client.schemas.objects import FlowRun

from tasks.mimecast.connector import MimecastConnector
from tasks.saved_connectors import load_connector
from tasks.settings import CHECKOUT
from tests.server.machine import Machine
from tests.server.person import Person, at_the_ui
from tests.simulator import V2_KEYS, Simulator, World, serve

pytestmark = [pytest.mark.server, pytest.mark.browser]

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
START, END = TODAY - timedelta(days=12), TODAY - timedelta(days=9)
PER_DAY = 60
WITH_PAGES = {"PREFECT_UI_ENABLED": "true", "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "true"}


def test_ui_saves_a_connector_and_starts_a_backfill(
    home: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache
    pictures = pytestconfig.cache.mkdir("pictures")
    world = World(seed=7, per_day=PER_DAY, start=TODAY - timedelta(days=30))
    with serve(Simulator(world)) as service, Machine(home, monkeypatch, **WITH_PAGES) as machine:
        machine.boot()
        assert machine.command("connectors", "apply") == []  # registers the forms
        with at_the_ui(machine.url.removesuffix("/api"), pictures) as person:
            connector_is_saved(person, service.url)
            saved = load_connector("acme")
            assert isinstance(saved, MimecastConnector)
            assert (saved.polling_minutes, saved.url, saved.tested_at) == (60, service.url, None)
            assert saved.client_secret.get_secret_value() == V2_KEYS["client_secret"]
            connection_is_tested(person)
            assert [schedule.active for schedule in machine.deployment("mimecast/acme").schedules] == [True]
            polling_is_switched_off(person)
            assert [schedule.active for schedule in machine.deployment("mimecast/acme").schedules] == [False]
            machine.wait_for(lambda: not machine.unfinished_runs())  # a run that was just due
            imported = machine.start("directory-import/directory-import", paths=exports(home))
            news_is_fetched(person)
            files_are_listed(person, machine.wait_for_end(imported))
            polled = machine.stored("SELECT count(DISTINCT flow_run_id) FROM windows WHERE trigger = 'poll'")
            assert polled == [(2,)]
            past_is_fetched(person)
            (stored,) = machine.stored(f"SELECT count(*) FROM scans WHERE detected_at < '{END.isoformat()}'")
            assert stored == (3 * PER_DAY,)


def connector_is_saved(person: Person, url: str) -> None:
    person.page.goto("/v2/blocks/catalog")
    person.page.get_by_placeholder("Search blocks").fill("mimecast")
    person.sees("1 Block")
    person.presses("Create")
    person.fills("Name", "acme")
    person.fills("Client id (API 2.0)", V2_KEYS["client_id"])
    person.fills("Client secret (API 2.0)", V2_KEYS["client_secret"])
    person.takes_a_picture("connector")
    person.chooses("Polling frequency (minutes)", "60")
    person.fills("Base URL", url)
    person.switches("Allow a host that is not Mimecast's")
    person.takes_a_picture("connector-whole", whole=True)
    broken = "images => images.filter(each => !each.naturalWidth).length"
    assert person.page.locator("img[src]").evaluate_all(broken) == 0
    person.clicks(person.page.get_by_role("button", name="Save"), person.page.get_by_text("Paste this snippet").first)
    person.takes_a_picture("saved", whole=True)
    assert V2_KEYS["client_secret"] not in person.page.content()


def connection_is_tested(person: Person) -> None:
    person.runs("test-connection", "Quick run")
    person.fills_or_chooses("connector", "acme")
    person.starts(person.page.get_by_role("dialog").get_by_role("button", name="Run"))
    assert person.waits_for_the_end() == "Completed"
    person.takes_a_picture("connection-test")


def polling_is_switched_off(person: Person) -> None:
    person.finds("acme")
    switch = person.page.get_by_role("switch")
    expect(switch).to_be_checked()
    person.clicks(switch, person.page.get_by_role("switch", checked=False))


def news_is_fetched(person: Person) -> None:
    """Poll by the connector's own deployment, and by the general one."""
    for deployment in ("acme", "poll"):
        person.runs(deployment, "Quick run")
        if deployment == "poll":
            person.chooses("connector", "acme")
        else:
            expect(person.page.get_by_role("dialog").get_by_label("connector")).to_contain_text("acme")
        person.takes_a_picture(f"run-{deployment}")
        person.starts(person.page.get_by_role("dialog").get_by_role("button", name="Run"))
        assert person.waits_for_the_end() == "Completed"
        person.page.get_by_role("tab", name="Artifacts").click()
        person.sees("Result of this poll of acme")
        person.takes_a_picture(f"polled-{deployment}")


def exports(home: Path) -> list[str]:
    """Two exports of the demo, and another file."""
    note = home / "note.csv"
    note.write_text("Ask the administrator for the export.\n", encoding="utf-8")
    return [str(CHECKOUT / "data" / "demo" / name) for name in ("entra-users.csv", "intune-devices.csv")] + [str(note)]


def files_are_listed(person: Person, run: FlowRun) -> None:
    assert run.state_name == "Failed"
    person.page.goto(f"/v2/runs/flow-run/{run.id}")
    person.page.get_by_role("tab", name="Artifacts").click()
    person.page.get_by_text("3 files: 1 refused, 2 imported").click()
    person.sees("refused because")
    person.takes_a_picture("imported-files", whole=True)


def past_is_fetched(person: Person) -> None:
    person.runs("backfill", "Custom run")
    person.fills_or_chooses("connector", "acme")
    person.picks("start", START)
    person.picks("end", END)
    person.chooses("what", "everything")
    person.takes_a_picture("backfill")
    person.starts(person.page.get_by_role("button", name="Submit"))
    assert person.waits_for_the_end() == "Completed"
    person.page.get_by_role("tab", name="Artifacts").click()
    person.sees("Result of this backfill of acme")
    person.takes_a_picture("backfill-run")
