"""Access to the server that `serve` starts: no web page and no other user gets in."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import httpx
import psutil
import pytest
import websockets
from playwright.sync_api import BrowserContext, sync_playwright
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.workers.process import ProcessWorker
from websockets.sync.client import connect

from flows.deploy import prefect_yaml as deploying
from flows.server import login as server_login
from flows.server.addresses import free_port
from tasks.mimecast.connector import MimecastConnector
from tasks.saved_connectors import save_connector
from tasks.settings import CHECKOUT, Settings
from tasks.store.factory import open_store
from tests.server import running
from tests.server.person import ALONE, CHROMIUM, PATIENCE
from tests.simulator import V2_KEYS, Running, Simulator, World, serve

pytestmark = [pytest.mark.server, pytest.mark.browser]

NOW = datetime.now(UTC).replace(microsecond=0)
POOL = "attachment-alerts"
OPEN = {"/health", "/ready"}
SOCKETS = (
    "events/in", "events/out", "logs/out", "task_runs/subscriptions/scheduled", f"work_pools/{POOL}/workers/connect",
)  # fmt: skip
NOBODY: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}


class Site:
    """A home with its `serve`, seen from outside."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        self.root = f"http://127.0.0.1:{self.port}"
        self.environment = running.own_environment(home) | dict.fromkeys(running.CSRF, "true") | {
            "PREFECT_SERVER_API_PORT": str(self.port), "PREFECT_UI_ENABLED": "true", "PYTHONUNBUFFERED": "1",
            "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
        }  # fmt: skip

    @contextmanager
    def serving(self, name: str) -> Iterator[str]:
        """The output of `serve` up to its readiness."""
        with running.started(name, ["-m", "flows", "serve"], self.environment) as process:
            log = self.home / f"{name}.log"
            running.wait_for(lambda: "It requires a login" in log.read_text(encoding="utf-8"), process)
            yield log.read_text(encoding="utf-8")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=90) == 0

    @contextmanager
    def client(self, line: str) -> Iterator[SyncPrefectClient]:
        own = {PREFECT_API_URL: f"{self.root}/api", PREFECT_API_AUTH_STRING: line}
        with temporary_settings(own), get_client(sync_client=True) as client:
            yield client

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        call = [sys.executable, "-m", "flows", *arguments]
        return subprocess.run(
            call, cwd=CHECKOUT, env=self.environment, capture_output=True, text=True, check=False, timeout=300
        )

    def status(self, path: str, method: str = "GET", **more: Any) -> int:
        return httpx.request(method, f"{self.root}{path}", timeout=60, trust_env=False, **more).status_code


@pytest.fixture
def service() -> Iterator[Running]:
    with serve(Simulator(World(seed=7, per_day=24, start=NOW - timedelta(days=3)))) as started:
        yield started


def create_old_site(site: Site, service: Running) -> None:
    """Create what a site had before servers required a login: a connector, and Prefect's default template."""
    with (
        running.api(site.environment | dict.fromkeys(running.CSRF, "false")) as url,
        temporary_settings({PREFECT_API_URL: url}),
        get_client(sync_client=True) as client,
    ):
        old = ProcessWorker.get_default_base_job_template()
        client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=old))
        fields = {"base_url": service.url, "allow_other_host": True, "first_look_back_days": 1}
        fields |= {"connector_id": running.due_in(840, minutes=15), "tested_at": NOW}
        save_connector("acme", MimecastConnector.model_validate(V2_KEYS | fields))


def test_serve_is_closed_to_web_pages_and_other_users(home: Path, service: Running, tmp_path: Path) -> None:
    site = Site(home)
    create_old_site(site, service)
    assert server_login.read(home) is None
    with site.serving("first") as said:
        line = server_login.read(home)
        assert line
        assert said.count("export PREFECT_API_AUTH_STRING") == 1
        with site.client(line) as client:
            check_that_everything_requires_the_login(site, line)
            check_that_other_origins_are_refused(site, line, client)
            check_that_a_run_cannot_choose_its_command(site, client, tmp_path / "elsewhere")
            assert is_in_no_process_list(line)
        listed = site.command("connectors", "list", "--json")
        assert [each["name"] for each in json.loads(listed.stdout)] == ["acme"]
        new = site.command("server-login", "--rotate", "--show").stdout.strip()
        assert new == server_login.read(home) != line
        refused = site.command("connectors", "list", "--json")  # the server still requires the old one
        assert (refused.returncode, "HTTP 401" in refused.stderr) == (1, True)
        assert site.status("/api/version", auth=tuple(line.split(":"))) == 200
        template = deploying.pool_template(None)
        template["variables"]["properties"]["env"] = {"type": "object", "title": "a site's own"}
        with site.client(line) as client:
            client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template))
    with site.serving("second") as said:
        assert "export PREFECT_API_AUTH_STRING" not in said
        assert f"work pool {POOL} chooses" in said
        assert site.status("/api/version", auth=tuple(line.split(":"))) == 401
        with site.client(new) as client:
            assert client.read_work_pool(POOL).base_job_template == template
    written = [file for file in home.rglob("*") if file.is_file() and file != server_login.login_file(home)]
    assert len(written) > 5
    secrets = [each.partition(":")[2].encode() for each in (line, new)]
    assert [file for file in written if any(secret in file.read_bytes() for secret in secrets)] == []


def check_that_everything_requires_the_login(site: Site, line: str) -> None:
    """Every route and websocket, with a foreign host name, and for another user of the machine."""
    known = {"auth": tuple(line.split(":"))}
    described = httpx.get(f"{site.root}/api/openapi.json", timeout=60, trust_env=False, auth=known["auth"]).json()
    token = httpx.get(f"{site.root}/api/csrf-token", params={"client": "me"}, trust_env=False, auth=known["auth"])
    csrf = {"Prefect-Csrf-Token": token.json()["token"], "Prefect-Csrf-Client": "me"}
    routes = [(path, method) for path, methods in described["paths"].items() for method in methods]
    assert len(routes) > 150
    with httpx.Client(base_url=f"{site.root}/api", trust_env=False, timeout=60) as client:
        got = {route: client.request(route[1], route[0], headers=csrf) for route in routes if route[0] not in OPEN}
        assert {answer.status_code for answer in got.values()} == {401}
        assert [each for each in got.values() if "WWW-Authenticate" in each.headers] == []  # browsers would store it
        filters = "/block_documents/filter"
        assert client.post(filters, json={}, headers=csrf | {"Host": "evil.example"}).status_code == 401
        assert client.post(filters, json={}, auth=known["auth"]).status_code == 403  # without the token
        assert client.post(filters, json={}, auth=known["auth"], headers=csrf).status_code == 200
        assert client.post(filters, json={}, auth=("admin", "guessed"), headers=csrf).status_code == 401
    assert set(httpx.get(f"{site.root}/ui-settings", trust_env=False).json()) <= {
        "api_url", "csrf_enabled", "auth", "flags", "default_ui", "available_uis", "v1_base_url", "v2_base_url",
    }  # fmt: skip
    for path in SOCKETS:
        assert not accepts(f"ws://127.0.0.1:{site.port}/api/{path}", None)
        assert not accepts(f"ws://127.0.0.1:{site.port}/api/{path}", "admin:guessed")
    assert accepts(f"ws://127.0.0.1:{site.port}/api/events/in", line)
    curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", f"{site.root}/api/version"]
    assert subprocess.run(curl, **NOBODY, cwd="/", capture_output=True, check=True).stdout == b"401"
    assert server_login.login_file(site.home).stat().st_mode & 0o077 == 0
    if NOBODY:
        read = ["cat", str(server_login.login_file(site.home))]
        assert subprocess.run(read, **NOBODY, cwd="/", capture_output=True, check=False).returncode == 1


def accepts(url: str, token: str | None) -> bool:
    """Whether a websocket accepts this token."""
    try:
        with connect(url, subprotocols=[websockets.Subprotocol("prefect")], proxy=None, open_timeout=60) as socket:
            socket.send(json.dumps({"type": "auth", "token": token}))
            return bool(json.loads(socket.recv(timeout=60))["type"] == "auth_success")
    except (websockets.InvalidStatus, websockets.ConnectionClosed):
        return False


class Hostile(BaseHTTPRequestHandler):
    """A page of another origin."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>prize</title>")

    def log_message(self, *_: object) -> None:
        pass


ATTACK = """
async ([root, deployment]) => {
  const all = JSON.stringify({block_documents: null, include_secrets: true});
  const run = JSON.stringify({job_variables: {command: "touch prize"}});
  const json = {"Content-Type": "application/json"};
  const asked = [
    ["/api/block_documents/filter", {method: "POST", headers: json, body: all}],
    ["/api/block_documents/filter", {method: "POST", body: all}],
    ["/api/block_documents/filter", {method: "POST", body: all, credentials: "include"}],
    ["/api/csrf-token?client=prize", {credentials: "include"}],
    [`/api/deployments/${deployment}/create_flow_run`, {method: "POST", headers: json, body: run}],
    [`/api/deployments/${deployment}/create_flow_run`, {method: "POST", body: run, mode: "no-cors"}],
  ];
  const got = [];
  for (const [path, how] of asked) {
    try {
      const answer = await fetch(root + path, how);
      if (answer.type !== "opaque") got.push(`${answer.status} ${await answer.text()}`);
    } catch (refused) { }
  }
  for (const path of ["events/out", "logs/out"]) await new Promise(done => {
    const socket = new WebSocket(`ws${(root || location.origin).slice(4)}/api/${path}`, "prefect");
    socket.onopen = () => socket.send(JSON.stringify({type: "auth", token: null}));
    socket.onmessage = message => got.push(message.data);
    socket.onclose = done;
  });
  return got;
}
"""


def check_that_other_origins_are_refused(site: Site, line: str, client: SyncPrefectClient) -> None:
    """In the browser of a logged-in user; also under a name that resolves to this machine (DNS rebinding)."""
    deployment = str(client.read_deployment_by_name("connectors-apply/connectors-apply").id)
    of_it = DeploymentFilter(id=DeploymentFilterId(any_=[UUID(deployment)]))
    before = {each.id for each in client.read_flow_runs(deployment_filter=of_it, limit=200) if not each.auto_scheduled}
    with ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as elsewhere, sync_playwright() as playwright:
        Thread(target=elsewhere.serve_forever, daemon=True).start()
        rebound = ["--host-resolver-rules=MAP evil.example 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ALONE, *rebound])
        context = browser.new_context()
        context.set_default_timeout(PATIENCE)
        log_in(context, site, line)
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{elsewhere.server_port}/")
        assert page.evaluate(ATTACK, [site.root, deployment]) == []
        page.goto(f"http://evil.example:{site.port}/ui-settings")
        answers = page.evaluate(ATTACK, ["", deployment])
        assert {each[:3] for each in answers} == {"401", "403"}
        browser.close()
        elsewhere.shutdown()
    after = {each.id for each in client.read_flow_runs(deployment_filter=of_it, limit=200) if not each.auto_scheduled}
    assert after == before


def log_in(context: BrowserContext, site: Site, line: str) -> None:
    """Log in as a person does: paste the full line; the pages then show data."""
    page = context.new_page()
    page.goto(f"{site.root}/v2/deployments")
    page.locator("input[type=password]").fill(line)
    page.keyboard.press("Enter")
    page.get_by_text("connectors-apply").first.wait_for()
    page.close()


def check_that_a_run_cannot_choose_its_command(site: Site, client: SyncPrefectClient, elsewhere: Path) -> None:
    """A run with its own command, environment and folder still polls in the site's home."""
    chosen = {
        "command": f"touch {elsewhere}", "working_dir": str(site.home),
        "env": {"ATTACHMENT_ALERTS_HOME": str(elsewhere)},
    }  # fmt: skip
    deployment = client.read_deployment_by_name("mimecast/acme")
    assert "command" not in deployment.job_variables
    run = client.create_flow_run_from_deployment(deployment.id, job_variables=chosen)

    def over() -> str | None:
        state = client.read_flow_run(run.id).state
        return state.name if state and state.is_final() else None

    assert running.wait_for(over) == "Completed"
    assert not elsewhere.exists()
    with open_store(Settings(home=site.home)).transaction() as transaction:
        assert transaction.rows("SELECT count(*) > 0 FROM scans") == [(True,)]
    template = client.read_work_pool(POOL).base_job_template
    assert set(template["variables"]["properties"]) == {"stream_output"}
    assert template["job_configuration"]["command"].endswith(" -m prefect.engine")


def is_in_no_process_list(line: str) -> bool:
    """Whether no process has it in its arguments."""
    secret = line.partition(":")[2]
    return not [each for each in psutil.process_iter(["cmdline"]) if secret in " ".join(each.info["cmdline"] or [])]
