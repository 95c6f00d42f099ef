"""The stages of a pull from a Mimecast account."""

import threading

from tasks.ingest.stages import Stages
from tasks.mimecast.client import MimecastClient
from tasks.mimecast.connector import MimecastConnector
from tasks.mimecast.record import RECORDS
from tasks.priority import load_maps
from tasks.settings import Settings
from tasks.source import Source


def open_stages(connector: MimecastConnector, source: Source, settings: Settings, stop: threading.Event) -> Stages:
    maps = load_maps(settings, connector.no_verdict)
    return Stages(MimecastClient(connector, stop=stop), RECORDS, source, maps, settings)
