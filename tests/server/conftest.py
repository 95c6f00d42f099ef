import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import running


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prefect's database as a server makes it at its first start, which takes longer than all the rest of a start."""
    folder = tmp_path_factory.mktemp("migrated")
    call = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
    subprocess.run(call, env=running.own_environment(folder), check=True, capture_output=True)
    return folder / "prefect" / "prefect.db"


@pytest.fixture
def home(tmp_path: Path, migrated: Path) -> Path:
    """A site's folder, whose server need not make its tables."""
    (tmp_path / "prefect").mkdir()
    shutil.copyfile(migrated, tmp_path / "prefect" / migrated.name)
    return tmp_path
