"""Files, folders and zips in any mix → files in memory. Nothing is ever unpacked to the disk."""

import os
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import chain
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from tasks.errors import ExportRefused
from tasks.sanitize import plain

DONE, REFUSED = "done", "refused"
"""folders beside the exports that hold what was read already"""
MAX_BYTES = 1 << 30
"""of one file, and of all members of one zip together: a directory of a million people stays below"""
MAX_MEMBERS = 1000
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_TOO_LARGE = "the zip holds more than any export does. Unpack it and import the exports only."
_ENCRYPTED = 0x1  # bit of a member's flags
_DAMAGE = (BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, IndexError, NotImplementedError)
"""what zipfile raises for damaged files; UnicodeDecodeError of a name is a ValueError"""


def is_zip(content: bytes) -> bool:
    """Whether the bytes begin as a zip does, an empty one included."""
    return content.startswith(_ZIP)


def expand(paths: Iterable[Path], *, follow: bool = True) -> Iterator[tuple[str, bytes | ExportRefused]]:
    """Name and bytes of every file in these places, sorted within a folder, or why it cannot be read.

    Names tell files apart: `folder/file`, and members of a zip as `zip/member`. Hidden files in a folder and what was
    put away are passed over. Links and special files are never opened, except that a path itself may be a link where
    `follow`: whoever names it has chosen it. A zip that cannot be unpacked comes as it is: `read_export` says why.
    Raises ExportRefused for a path that does not exist, before anything is given out.
    """
    places = [Path(path) for path in paths]
    if follow:
        for place in places:
            refuse_missing(place)
        places = [place.resolve() for place in places]
    for name, content in chain.from_iterable(_walk(place.name, str(place), None) for place in places):
        if isinstance(content, ExportRefused):
            yield name, content
            continue
        try:
            members = unzip(name, content) if is_zip(content) else None
        except ExportRefused:
            members = None
        yield from members or [(name, content)]


def refuse_missing(path: Path) -> None:
    """Raises ExportRefused for a path that does not exist."""
    if not path.exists():
        raise ExportRefused(f"{plain(str(path))} does not exist. Correct the path and try again.")


def _walk(name: str, path: str, folder: int | None) -> Iterator[tuple[str, bytes | ExportRefused]]:
    """The file, or all files of the folder, that `path` names within the open folder."""
    try:
        descriptor = _open(name, path, folder)
    except ExportRefused as refusal:
        yield name, refusal
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            yield name, _read(name, descriptor)
        elif folder is None or path not in (DONE, REFUSED):
            for entry in sorted(os.listdir(descriptor)):  # noqa: PTH208 - a folder that is open
                if not entry.startswith("."):
                    yield from _walk(f"{name}/{entry}", entry, descriptor)
    finally:
        os.close(descriptor)


def _open(name: str, path: str, folder: int | None) -> int:
    """Open a regular file or a folder; what takes its place between the look and the opening is not followed either.

    Raises ExportRefused.
    """
    try:
        mode = os.stat(path, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            raise ExportRefused(f"{plain(name)} is a link, and links are not followed. Put the file itself there.")
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ExportRefused(f"{plain(name)} is no file, but a pipe, a socket or a device. Take it away.")
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as cause:
        raise _unreadable(name, cause) from None


def _read(name: str, descriptor: int) -> bytes | ExportRefused:
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        return ExportRefused(f"{plain(name)} is no file any more. Take it away.")
    if about.st_size > MAX_BYTES:
        return ExportRefused(f"{plain(name)} is larger than any export. Take it away.")
    try:
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    except OSError as cause:
        return _unreadable(name, cause)


def _unreadable(name: str, cause: OSError) -> ExportRefused:
    return ExportRefused(f"{plain(name)} cannot be read: {cause.strerror}. Check its permissions.")


def unzip(name: str, content: bytes) -> list[tuple[str, bytes]]:
    """Name and bytes of the members.

    Raises ExportRefused for a zip that is damaged, empty, encrypted or too large or holds another zip, and for an Excel
    workbook.
    """
    try:
        with ZipFile(BytesIO(content)) as archive:
            members = [member for member in archive.infolist() if not _is_ignored(member)]
            _check_members(name, members)
            files = [
                (f"{name}/{PurePosixPath(member.filename)}", _read_member(name, archive, member)) for member in members
            ]
    except _DAMAGE:
        raise ExportRefused(f"{plain(name)}: the zip is damaged. Download it again.") from None
    if not files:
        raise ExportRefused(f"{plain(name)}: the zip is empty. Export it again.")
    for member_name, member_content in files:
        if is_zip(member_content):
            raise ExportRefused(f"{plain(member_name)} is a zip inside a zip. Unpack the outer one first.")
    return files


def _is_ignored(member: ZipInfo) -> bool:
    """Folders, and what macOS adds beside the files."""
    parts = PurePosixPath(member.filename).parts
    return member.is_dir() or not parts or parts[0] == "__MACOSX" or parts[-1].startswith(".")


def _check_members(name: str, members: list[ZipInfo]) -> None:
    names = {entry.filename for entry in members}
    if "[Content_Types].xml" in names:
        raise ExportRefused(
            f"{plain(name)} is an Excel workbook. Save it as CSV UTF-8, or better import the export itself."
        )
    if any(entry.flag_bits & _ENCRYPTED for entry in members):
        raise ExportRefused(f"{plain(name)}: the zip needs a password. Unpack it first.")
    if any(entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for entry in members):
        raise ExportRefused(f"{plain(name)}: the zip is packed in an unusual way. Unpack it first.")
    if len(members) > MAX_MEMBERS or sum(entry.file_size for entry in members) > MAX_BYTES:
        raise ExportRefused(f"{plain(name)}: {_TOO_LARGE}")


def _read_member(name: str, archive: ZipFile, member: ZipInfo) -> bytes:
    """A member never gives more than the size it states, which `_check_members` has added up."""
    with archive.open(member) as stream:
        content = stream.read(member.file_size + 1)
    if len(content) > member.file_size:
        raise ExportRefused(f"{plain(name)}: a member of the zip is larger than it says. Download it again.")
    return content
