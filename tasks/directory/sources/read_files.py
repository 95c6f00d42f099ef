"""Files, folders and zips → exports; each file that cannot be read is refused separately."""

import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from tasks.directory.export import Export
from tasks.directory.formats.archive import expand
from tasks.directory.formats.header_aliases import load_headers
from tasks.directory.sources.detect import read_export
from tasks.errors import ExportRefused
from tasks.settings import Settings


class RefusedFile(NamedTuple):
    file_name: str
    reason: str


def read_files(
    paths: Iterable[Path], settings: Settings, *, follow: bool = True
) -> tuple[list[Export], list[RefusedFile]]:
    """The exports in these files, whose format is detected by content, and the files that could not be read.

    `follow`: a path itself may be a link. Raises ExportRefused for a path that does not exist.
    """
    headers = load_headers(settings)
    # With other headers, code page or program version the same bytes may be read differently, so the digest differs.
    reader = repr((headers, settings.ansi_code_page, version("attachment-alerts"))).encode()
    exports: list[Export] = []
    refused: list[RefusedFile] = []
    for name, content in expand(paths, follow=follow):
        if isinstance(content, ExportRefused):
            refused.append(RefusedFile(name, str(content)))
            continue
        try:
            parts = read_export(name, content, headers, settings.ansi_code_page)
        except ExportRefused as error:
            refused.append(RefusedFile(name, str(error)))
            continue
        digest = hashlib.sha256(content)
        digest.update(reader)
        exports += [Export(name, digest.hexdigest(), part) for part in parts]
    return exports, refused
