import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.deploy import prefect_yaml
from tests.server import running


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Prefect's database after a deploy of prefect.yaml without notifications; the first test creates it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "deployed"
    with FileLock(f"{folder}.lock"):
        database = folder / "prefect.db"
        if not database.exists():
            _deploy(folder, database)
    return database


def _deploy(folder: Path, database: Path) -> None:
    folder.mkdir()
    with running.api(running.own_environment(folder)) as url, temporary_settings({PREFECT_API_URL: url}):
        prefect_yaml.deploy(notify=False)
    running.keep_tables(folder, database)


@pytest.fixture
def home(tmp_path: Path, deployed: Path) -> Path:
    """A home with a Prefect database in which prefect.yaml is deployed."""
    (tmp_path / "prefect").mkdir()
    shutil.copyfile(deployed, tmp_path / "prefect" / deployed.name)
    return tmp_path
