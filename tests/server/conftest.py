import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.deploy import prefect_yaml
from tests.server import running

<<<<<<< HEAD
LONGEST_FIRST = ("test_end_to_end.py", "test_ui.py", "test_serve.py", "test_notify.py", "test_schedule.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files first, so that two processes end at about the same time."""
    longest = {Path(__file__).with_name(name): place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: longest.get(item.path, len(longest)))


@pytest.fixture(autouse=True)
def first_come_first_served(request: pytest.FixtureRequest) -> None:
    """The first file is sensitive to delays: tests that run beside it get a lower CPU priority."""
    if request.path.name != LONGEST_FIRST[0]:
        os.nice(max(0, 5 - os.nice(0)))

=======
>>>>>>> 02a5caa (Property tests try fewer examples by default; coverage is printed by the script of the checks)

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
