"""Makes `site.tar.xz` and what is expected of it, with the program to upgrade from.

Called as `python -m tests.upgrade.make_fixture`; it takes about ten minutes.

Deployments and tables keep the paths of the machine they were made on. So it only runs in a checkout at
/srv/attachment-alerts, as the README's service has it, and makes a home at /var/lib/attachment-alerts.
"""

import gzip
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.upgrade import outside, relations

CHECKOUT = Path("/srv/attachment-alerts")
HOME = Path("/var/lib/attachment-alerts")
HERE = Path(__file__).parent
PORT = 28916
URL = f"http://127.0.0.1:{PORT}/api"
KEPT = ("store.duckdb", "alerts.duckdb", "prefect/prefect.db", "priorities.csv", "drop/refused")

ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "ATTACHMENT_"))
} | {
    "ATTACHMENT_ALERTS_HOME": str(HOME),
    "PREFECT_HOME": str(HOME / "prefect"),
    "ATTACHMENT_ALERTS_NOTIFY": "custom-webhook/security",
    "ATTACHMENT_ALERTS_TIME_ZONE": "UTC",
    "USER": "analyst",
    "LOGNAME": "analyst",
}

ADDRESS = ["--base-url", outside.SERVICE_URL, "--allow-other-host"]
CONTOSO = ["--client-id", outside.CONTOSO_KEYS["client_id"], "--polling-minutes", "60"]
FABRIKAM = ["--api", "1.0", "--application-id", outside.FABRIKAM_KEYS["application_id"], "--tenant", "fabrikam"]
CORP = ["--product", "entra", "--directory-id", outside.DIRECTORY_ID, "--client-id", outside.GRAPH_CLIENT]
CORP += ["--base-url", outside.GRAPH_URL, "--allow-other-host", "--tenant", "fabrikam"]


def command(*arguments: str, secrets: dict[str, str] | None = None) -> Any:
    """Call the command; what it prints where that is JSON."""
    given = {f"ATTACHMENT_ALERTS_{name.upper()}": value for name, value in (secrets or {}).items()}
    environment = ENVIRONMENT | {"PREFECT_API_URL": URL} | given
    call = [sys.executable, "-m", "flows", *arguments]
    done = subprocess.run(call, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{arguments}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout) if "--json" in arguments else None


def main() -> None:
    if Path.cwd() != CHECKOUT or HOME.exists():
        raise SystemExit(f"Run it in {CHECKOUT}, while there is no {HOME} yet.")
    HOME.mkdir(parents=True, mode=0o750)
    anchor = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    (HOME / "drop" / "refused").mkdir(parents=True)
    shutil.copyfile(CHECKOUT / "data" / "priorities.csv", HOME / "priorities.csv")
    with outside.outside(anchor) as world, _serving():
        keys = _fill()
        _wait_for_messages(world)
        _leave_a_message()
        prefect = _prefect_facts()
    expected = {"made_at": datetime.now(UTC).isoformat(), "anchor": anchor.isoformat(), "json_keys": keys}
    expected |= {"prefect": prefect, "pending": relations.pending(HOME)}
    if not expected["pending"]:
        raise SystemExit("No message is pending.")
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    rows = json.dumps(relations.read(HOME), ensure_ascii=False, indent=0, sort_keys=True)
    (HERE / "relations.json.gz").write_bytes(gzip.compress(rows.encode(), mtime=0))
    _shrink(HOME / "prefect" / "prefect.db")
    _pack()


@contextmanager
def _serving() -> Iterator[None]:
    call = [sys.executable, "-m", "flows", "serve", "--port", str(PORT)]
    with (HOME / "serve.out").open("wb") as lines:
        process = subprocess.Popen(call, cwd=CHECKOUT, env=ENVIRONMENT, stdout=lines, stderr=lines)
    try:
        _wait_until(lambda: "Serving." in (HOME / "serve.out").read_text())
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=300)


def _wait_until(happens: Any) -> None:
    until = time.monotonic() + 900
    while not happens():
        if time.monotonic() > until:
            raise SystemExit((HOME / "serve.out").read_text())
        time.sleep(1)


def _fill() -> dict[str, list[str]]:
    """Connectors, alerts, directory, decisions, switches; the keys of each answer in JSON."""
    _prefect()
    command("connectors", "add", "contoso", *ADDRESS, *CONTOSO, secrets=outside.CONTOSO_KEYS)
    command("connectors", "add", "fabrikam", *ADDRESS, *FABRIKAM, secrets=outside.FABRIKAM_KEYS)
    command("connectors", "add", "corp", *CORP, secrets={"client_secret": outside.GRAPH_SECRET})
    _switch_off("mimecast/fabrikam")
    answers = {
        "poll": command("poll", "contoso", "--json"),
        "poll (directory)": command("poll", "corp", "--json"),
        "import-directory": command("import-directory", "data/demo", "--json"),
        "connectors list": command("connectors", "list", "--json"),
        "connectors apply": command("connectors", "apply", "--json"),
        "connectors show": command("connectors", "show", "contoso", "--json"),
        "test-connection": command("test-connection", "contoso", "--json"),
        "replay": command("replay", "--json"),
    }
    command("poll", "fabrikam", "--json")
    groups = command("alerts", "--status", "all", "--tenant", "default", "--json")
    closed, worked_on, other = (each["group_id"] for each in groups[:3])
    command("triage", closed, "--status", "closed", "--reason", "benign", "--comment", "our newsletter", "--by", "zoe")
    command("triage", worked_on, "--status", "in_progress", "--assignee", "zoe", "--by", "ann")
    alert = command("group", other, "--json")["alerts"][0]["alert_id"]
    command("triage", "--alert", alert, "--status", "closed", "--reason", "true_positive", "--by", "ann")
    hides = ["allow-list", "add", "sender", "a.lindqvist@example.org"]
    command(*hides, "--reason", "an application", "--author", "zoe", "--yes")
    return {name: relations.keys_of(answer) for name, answer in answers.items()}


def _prefect() -> None:
    """A webhook for messages, an automation of the site's own, and one of ours that is switched off."""
    code = (
        "import sys\n"
        "from prefect.automations import Automation, DoNothing, EventTrigger\n"
        "from prefect.blocks.notifications import CustomWebhookNotificationBlock as Webhook\n"
        "from prefect.client.orchestration import get_client\n"
        "text = {'text': '{{subject}}\\n{{body}}'}\n"
        "Webhook(name='security', url=sys.argv[1], json_data=text).save('security')\n"
        "trigger = EventTrigger(expect={'attachment-alerts.group.opened'}, posture='Reactive', threshold=1)\n"
        "Automation(name='tell the help desk', trigger=trigger, actions=[DoNothing()]).create()\n"
        "with get_client(sync_client=True) as client:\n"
        "    [ours] = client.read_automations_by_name('attachment-alerts, connectors')\n"
        "    client.pause_automation(ours.id)\n"
    )
    environment = ENVIRONMENT | {"PREFECT_API_URL": URL}
    subprocess.run([sys.executable, "-c", code, outside.WEBHOOK_URL], cwd=CHECKOUT, env=environment, check=True)


def _prefect_facts() -> Any:
    call = [sys.executable, "-m", "tests.upgrade.prefect_facts"]
    environment = ENVIRONMENT | {"PREFECT_API_URL": URL}
    return json.loads(subprocess.run(call, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, check=True).stdout)


def _switch_off(deployment: str) -> None:
    """Take a schedule's switch, as a person does in the UI."""
    found = httpx.get(f"{URL}/deployments/name/{deployment}", trust_env=False).raise_for_status().json()
    schedule = found["schedules"][0]["id"]
    change = httpx.patch(
        f"{URL}/deployments/{found['id']}/schedules/{schedule}", json={"active": False}, trust_env=False
    )
    change.raise_for_status()


def _wait_for_messages(world: outside.Outside) -> None:
    """Until nothing more is under way."""
    count = -1
    while len(world.messages) != count:
        count = len(world.messages)
        time.sleep(30)


def _leave_a_message() -> None:
    """Let an entry of the allow-list expire: alerts show again, and the next run of a connector tells of it."""
    ends = datetime.now(UTC) + timedelta(seconds=90)
    entry = ["allow-list", "add", "sender", "sales@wingtip.test", "--reason", "on trial", "--author", "zoe", "--yes"]
    command(*entry, "--expires", ends.isoformat(timespec="seconds"))
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 1)
    domain = ["allow-list", "add", "sender_domain", "newsletter.example", "--reason", "our newsletter"]
    command(*domain, "--author", "zoe", "--yes")


def _shrink(database: Path) -> None:
    """Leave out the history of runs, which no upgrade has to keep."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_mode = DELETE")
        for table in (
            "log",
            "event_resources",
            "events",
            "task_run_state",
            "flow_run_state",
            "task_run",
            "flow_run",
            "worker",
        ):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("VACUUM")


def _pack() -> None:
    def neutral(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o700 if entry.isdir() else 0o600
        return entry

    with tarfile.open(HERE / "site.tar.xz", "w:xz") as archive:
        for name in KEPT:
            archive.add(HOME / name, name, filter=neutral)


if __name__ == "__main__":
    main()
