"""Files, folders and zips → file contents in memory. Nothing is unpacked to disk."""

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
"""folders beside the exports for files that were processed"""
MAX_BYTES = 1 << 30
"""of one file and of all members of one zip together; a directory of a million people is smaller"""
MAX_MEMBERS = 1000
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_TOO_LARGE = "the zip is larger than any export. Unpack it and import the exports only."
_ENCRYPTED = 0x1  # bit of a member's flags
_DAMAGE = (BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, IndexError, NotImplementedError)
"""what zipfile raises for damaged files; UnicodeDecodeError of a name is a ValueError"""


def is_zip(content: bytes) -> bool:
    """Also True for an empty zip."""
    return content.startswith(_ZIP)


def expand(paths: Iterable[Path], *, follow: bool = True) -> Iterator[tuple[str, bytes | ExportRefused]]:
    """Name and content of every file at these paths, sorted within a folder, or the reason why it cannot be read.

    Names are `folder/file`, and `zip/member` for members of a zip. Hidden files and the folders of processed files are
    skipped. Links and special files are never opened; with `follow`, a path itself may be a link, since the caller
    chose it. A zip that cannot be unpacked is returned as it is: `read_export` gives the reason.
    Raises ExportRefused for a path that does not exist, before the first result.
    """
    places = [Path(path) for path in paths]
    if follow:
        for place in places:
            check_exists(place)
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


def check_exists(path: Path) -> None:
    """Raises ExportRefused for a path that does not exist."""
    if not path.exists():
        raise ExportRefused(f"{plain(str(path))} does not exist. Correct the path and try again.")


def _walk(name: str, path: str, folder: int | None) -> Iterator[tuple[str, bytes | ExportRefused]]:
    """The file at `path`, or all files in the folder at `path`; relative to the open `folder`."""
    try:
        descriptor = _open(name, path, folder)
    except ExportRefused as refusal:
        yield name, refusal
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            yield name, _read(name, descriptor)
        elif folder is None or path not in (DONE, REFUSED):
            for entry in sorted(os.listdir(descriptor)):  # noqa: PTH208 - a file descriptor
                if not entry.startswith("."):
                    yield from _walk(f"{name}/{entry}", entry, descriptor)
    finally:
        os.close(descriptor)


def _open(name: str, path: str, folder: int | None) -> int:
    """Open a regular file or a folder. A link that replaces it after the check is not followed either.

    Raises ExportRefused.
    """
    try:
        mode = os.stat(path, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            raise ExportRefused(f"{plain(name)} is a link, and links are not followed. Copy the file itself there.")
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ExportRefused(f"{plain(name)} is a pipe, a socket or a device, not a file. Remove it.")
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as cause:
        raise _unreadable(name, cause) from None


def _read(name: str, descriptor: int) -> bytes | ExportRefused:
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        return ExportRefused(f"{plain(name)} is no longer a file. Remove it.")
    if about.st_size > MAX_BYTES:
        return ExportRefused(f"{plain(name)} is larger than any export ({MAX_BYTES >> 20:,} MiB). Remove it.")
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
    """Folders, hidden files and those that macOS adds."""
    parts = PurePosixPath(member.filename).parts
    return member.is_dir() or not parts or parts[0] == "__MACOSX" or parts[-1].startswith(".")


def _check_members(name: str, members: list[ZipInfo]) -> None:
    names = {entry.filename for entry in members}
    if "[Content_Types].xml" in names:
        raise ExportRefused(f"{plain(name)} is an Excel workbook. Import the original export, or save it as CSV UTF-8.")
    if any(entry.flag_bits & _ENCRYPTED for entry in members):
        raise ExportRefused(f"{plain(name)}: the zip needs a password. Unpack it first.")
    if any(entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for entry in members):
        raise ExportRefused(f"{plain(name)}: the zip uses an unsupported compression method. Unpack it first.")
    if len(members) > MAX_MEMBERS or sum(entry.file_size for entry in members) > MAX_BYTES:
        raise ExportRefused(f"{plain(name)}: {_TOO_LARGE}")


def _read_member(name: str, archive: ZipFile, member: ZipInfo) -> bytes:
    """Never more than the stated size, whose sum `_check_members` has limited."""
    with archive.open(member) as stream:
        content = stream.read(member.file_size + 1)
    if len(content) > member.file_size:
        raise ExportRefused(f"{plain(name)}: a member of the zip is larger than its stated size. Download it again.")
    return content
