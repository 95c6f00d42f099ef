"""Files, folders and zips → what they say; a file that cannot be read is refused by itself."""

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
    """A file that nothing of was used."""

    file_name: str
    reason: str


def read_files(
    paths: Iterable[Path], settings: Settings, *, follow: bool = True
) -> tuple[list[Export], list[RefusedFile]]:
    """What the files in these places say, each recognised by its content. Nothing is written.

    `follow`: a path itself may be a link. What cannot be read is refused by itself.
    Raises ExportRefused for a path that does not exist.
    """
    headers = load_headers(settings)
    # Other headers, another code page or another program may read the same bytes otherwise: news, not the same file.
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
