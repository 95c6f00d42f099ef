"""The upgrade fixture: a home with its Prefect database, made by the program before, and what was in it."""

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

from tests.upgrade.relations import Relations

HERE = Path(__file__).parent


def unpack(home: Path) -> Path:
    """Put the fixture's files into a folder that is made for them."""
    home.mkdir(parents=True)
    with tarfile.open(HERE / "site.tar.xz") as archive:
        archive.extractall(home, filter="data")
    return home


def expected() -> dict[str, Any]:
    """What the program before said of it, beside its relations."""
    found: dict[str, Any] = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
    return found


def expected_relations() -> Relations:
    found: Relations = json.loads(gzip.decompress((HERE / "relations.json.gz").read_bytes()))
    return found
