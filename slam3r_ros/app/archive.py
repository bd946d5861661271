"""ZIP archives of images: unpacked only as far as the limits of uploads allow."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from slam3r_ros.app.limits import UploadError, UploadLimits
from slam3r_ros.app.upload_folder import UploadFolder, mebibytes
from slam3r_ros.io.sources.file_order import in_order
from slam3r_ros.io.sources.images import IMAGE_SUFFIXES

SIDE_FILES = frozenset({"intrinsics.txt", "timestamps.txt", "poses.txt"})
"""Text files that belong to images or to a video: camera and stamps."""
_CHUNK_BYTES = 1 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What Python's zipfile raises for an archive that is damaged, encrypted or of an unknown compression."""


def unpack_images(archive: Path, folder: UploadFolder) -> None:
    """Put the images of an archive into a folder, in the natural order of their places in it, and remove the archive.

    Beside images only `SIDE_FILES` are taken, and hidden files are passed over. Raises UploadError for an archive that
    is damaged, encrypted, too large unpacked, or has no images; the archive is removed then too.
    """
    name = archive.name
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _members(opened)
            _check(name, list(members.values()), folder.limits)
            for target, member in members.items():
                _unpack(opened, member, target, folder)
    except _DAMAGED as error:
        raise UploadError(f"'{name}' cannot be unpacked: {error or type(error).__name__}") from error
    finally:
        folder.remove(name)


def _members(opened: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members to unpack, by the names they get, in the natural order of their places in the archive.

    Of several folders with images only the one called ``rgb`` is taken, where there is one.
    """
    by_path = {Path(member.filename): member for member in opened.infolist() if not member.is_dir()}
    visible = [path for path in by_path if not any(_is_hidden(part) for part in path.parts)]
    images = [path for path in visible if path.suffix.lower() in IMAGE_SUFFIXES]
    folders = {path.parent for path in images}
    if len(folders) > 1 and any(folder.name == "rgb" for folder in folders):
        images = [path for path in images if path.parent.name == "rgb"]
        folders = {path.parent for path in images}
    names = {path: path.name if len(folders) == 1 else "_".join(path.parts) for path in in_order(images)}
    names.update({path: path.name for path in visible if path.name in SIDE_FILES})
    return {name: by_path[path] for path, name in names.items()}


def _is_hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part.strip(".") != "")


def _check(name: str, members: list[zipfile.ZipInfo], limits: UploadLimits) -> None:
    """Refuse by what the directory of the archive says, before anything is unpacked."""
    if not any(Path(member.filename).suffix.lower() in IMAGE_SUFFIXES for member in members):
        raise UploadError(f"'{name}' has no images: an archive is taken where it has images, not videos or bags")
    if len(members) > limits.files:
        raise UploadError(f"'{name}' has {len(members)} files: at most {limits.files} may be uploaded")
    total = sum(member.file_size for member in members)
    if total > limits.total_bytes:
        raise UploadError(
            f"'{name}' is {mebibytes(total)} large when it is unpacked: "
            f"at most {mebibytes(limits.total_bytes)} are taken"
        )
    if any(member.flag_bits & 1 for member in members):
        raise UploadError(f"'{name}' is encrypted: upload it without a password")


def _unpack(opened: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, folder: UploadFolder) -> None:
    """Unpack a member under a name; no byte more than the directory of the archive says is written."""
    if not member.file_size:
        return
    with opened.open(member) as packed, folder.receive(name, member.file_size) as file:
        while content := packed.read(_CHUNK_BYTES):
            file.write(content)
        file.complete()
