"""The forms of polls, backfills and connection tests offer the saved connectors, and accept other names."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client

from flows.connectors import test_connection as connection_test
from flows.deploy.parameter_choices import update_choices
from flows.entra import entra
from flows.mimecast import mimecast
from flows.mimecast import mimecast_backfill as backfill
from tasks.entra.connector import EntraConnector
from tasks.mimecast.connector import MimecastConnector

pytestmark = pytest.mark.server

ACME = MimecastConnector(client_id="a", client_secret="hush")
CORP = EntraConnector(directory_id=str(uuid4()), client_id=str(uuid4()), client_secret="hush")
FORMS = {
    "mimecast/choices": mimecast,
    "entra/choices": entra,
    "mimecast-backfill/choices": backfill,
    "test-connection/choices": connection_test,
}


@pytest.fixture
def client(prefect_api: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        deployments = [flow.to_deployment("choices").apply() for flow in FORMS.values()]
        yield client
        for deployment in deployments:
            client.delete_deployment(deployment)


def form(client: SyncPrefectClient, name: str) -> dict[str, Any]:
    schema = client.read_deployment_by_name(name).parameter_openapi_schema
    assert schema is not None
    return dict(schema["properties"])


def test_deployment_of_one_connector_keeps_its_choice(client: SyncPrefectClient) -> None:
    of_one = mimecast.to_deployment("mine", parameters={"connector": "acme"}).apply()
    before = form(client, "mimecast/mine")
    update_choices({"emea": ACME, "acme": ACME})
    assert form(client, "mimecast/mine") == before
    client.delete_deployment(of_one)


def test_update_choices_offers_the_connectors_of_the_product(client: SyncPrefectClient) -> None:
    before = {name: form(client, name) for name in FORMS}
    update_choices({"emea": ACME, "acme": ACME, "corp": CORP})
    offered = {name: form(client, name)["connector"].get("enum") for name in FORMS}
    assert offered == {
        "mimecast/choices": ["acme", "emea"],
        "entra/choices": ["corp"],
        "mimecast-backfill/choices": ["acme", "emea"],
        "test-connection/choices": ["acme", "corp", "emea"],
    }
    changed = [client.read_deployment_by_name(name).updated for name in FORMS]
    update_choices({"corp": CORP, "acme": ACME, "emea": ACME}, ["half"])
    assert form(client, "test-connection/choices")["connector"]["enum"] == ["acme", "corp", "emea", "half"]
    update_choices({"corp": CORP, "acme": ACME, "emea": ACME})
    changed[-1] = client.read_deployment_by_name("test-connection/choices").updated
    update_choices({"corp": CORP, "acme": ACME, "emea": ACME})
    assert [client.read_deployment_by_name(name).updated for name in FORMS] == changed

    fields = form(client, "mimecast-backfill/choices")
    assert fields["connector"]["description"].startswith("Name of the saved connector")
    assert fields["what"]["enum"] == ["missing", "everything"]
    assert [fields[edge]["format"] for edge in ("start", "end")] == ["date-time"] * 2
    given = {"connector": "just-saved", "start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"}
    deployment = client.read_deployment_by_name("mimecast-backfill/choices")
    assert client.create_flow_run_from_deployment(deployment.id, parameters=given).parameters == given

    update_choices({})
    assert {name: form(client, name) for name in FORMS} == before
