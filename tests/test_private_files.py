"""Files that only their owner reads, whatever the umask."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.private_files import keep_files_private, open_private, restrict_to_owner


@pytest.fixture(autouse=True)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(getattr(request, "param", 0))
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o777


@pytest.mark.parametrize("umask", [0, 0o022, 0o777], indirect=True)
@pytest.mark.parametrize("before", [None, 0o600, 0o666])
def test_open_private(tmp_path: Path, before: int | None) -> None:
    file = tmp_path / "file"
    if before:
        file.touch()
        file.chmod(before)
    with open_private(file, "ab") as opened:
        assert mode(file) == 0o600
        opened.write(b"x")
    assert file.read_bytes() == b"x"


def test_keep_files_private(tmp_path: Path) -> None:
    keep_files_private()
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert (mode(tmp_path / "file"), mode(tmp_path / "folder")) == (0o600, 0o700)


def test_restrict_to_owner(tmp_path: Path) -> None:
    folder, outside = tmp_path / "prefect", tmp_path / "outside"
    restrict_to_owner(folder)
    assert not folder.exists()
    for each in (folder, folder / "storage"):
        each.mkdir()
    for file in (outside, folder / "prefect.db", folder / "prefect.db-wal"):
        file.touch()
    (folder / "script").touch(mode=0o755)
    (folder / "link").symlink_to(outside)
    restrict_to_owner(folder)
    assert {each.name: mode(each) for each in (folder, *folder.iterdir()) if not each.is_symlink()} == {
        "prefect": 0o700, "storage": 0o700, "prefect.db": 0o600, "prefect.db-wal": 0o600, "script": 0o700,
    }  # fmt: skip
    assert mode(outside) == 0o666


def test_restrict_to_owner_follows_link_to_folder(tmp_path: Path) -> None:
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "prefect.db").touch()
    (tmp_path / "link").symlink_to(tmp_path / "prefect")
    restrict_to_owner(tmp_path / "link")
    assert (mode(tmp_path / "prefect"), mode(tmp_path / "prefect" / "prefect.db")) == (0o700, 0o600)
