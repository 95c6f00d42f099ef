"""Scheduled import of directory exports: people and devices, then every recipient is matched again."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.runs import directory_run


@flow(name="directory-import", flow_run_name="directory import {tenant}")
def directory_import(paths: list[str] | None = None, tenant: str = "default", confirm_gone: bool = False) -> State[Any]:
    """Import exports of people and devices, then update whom and which devices each alert concerns.

    The format of each file is detected from its content. A file that cannot be read is refused and changes nothing.

    Args:
        paths: Files, folders or zips on the machine that runs this. Empty: everything in the drop folder of the home,
            which is moved to its `done` or `refused` folder afterwards.
        tenant: The organisation these exports belong to.
        confirm_gone: Import even if many people of a source would be marked as gone.
    """
    return directory_run.run_import(paths or (), tenant, confirmed=confirm_gone)
