"""Archives that are downloaded once, checked at every call, and read where they lie, line by line."""

import hashlib
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

MOST_BYTES = 2**24  # several times what any archive, or any file in one, has
_A_DAY = 86_400  # seconds after which what a write left behind is nobody's


def path(name: str, value: str | os.PathLike[str]) -> Path:
    """``value`` as a path, with ~ for the home of whoever it names."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path, got {type(value).__name__}")
    if not os.fspath(value):
        raise ValueError(f"{name} was {value!r}; expected a path")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{name} was {os.fspath(value)!r}, whose home is not known; expected a path") from error


def cached(name: str, address: str, sha256: str, cache: str | os.PathLike[str] | None) -> Path:
    """Where the archive lies: in ``cache``, else in the folder that PAIRLOSS_CACHE names, else in ~/.cache/pairloss."""
    if cache is None:
        cache = os.environ.get("PAIRLOSS_CACHE") or "~/.cache/pairloss"
    archive = path("cache", cache) / name
    if not archive.is_file() or _sha256(archive.read_bytes()) != sha256:
        _download(archive, address, sha256)
    return archive


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _download(archive: Path, address: str, sha256: str) -> None:
    """Fetch the archive, check it, and only then put it in its place, whole."""
    if archive.is_dir():
        raise ValueError(f"{archive} is a folder; expected the archive, or nothing yet")
    by_hand = f"copy the file from {address} to {archive} by hand"
    try:  # to write, before anything is downloaded
        archive.parent.mkdir(parents=True, exist_ok=True)
        for left in archive.parent.glob(f"{archive.name}.*"):  # by a process that was killed
            if left.is_dir() and time.time() - left.stat().st_mtime > _A_DAY:
                shutil.rmtree(left, ignore_errors=True)
        beside = tempfile.TemporaryDirectory(prefix=f"{archive.name}.", dir=archive.parent)
    except OSError as error:
        raise type(error)(
            f"cannot write to the cache {archive.parent} ({error}); expected a folder that can be written: give "
            f"cache=…, set PAIRLOSS_CACHE, or {by_hand}"
        ) from error
    with beside as folder:
        try:
            with urlopen(address, timeout=60) as response:
                content = response.read(MOST_BYTES)
        except (OSError, HTTPException, ValueError) as error:
            wrong = " What lies there now is not that file." if archive.exists() else ""
            raise ConnectionError(
                f"cannot download {address} ({error}). Without a network, {by_hand}, "
                f"or use pairloss.datasets.generate(), which needs none.{wrong}"
            ) from error
        if _sha256(content) != sha256:
            raise ValueError(
                f"{len(content)} bytes came from {address} with the SHA-256 {_sha256(content)}; expected "
                f"{sha256}. The download broke off or the file has changed; nothing was kept"
            )
        whole = Path(folder) / archive.name
        whole.write_bytes(content)
        whole.replace(archive)


def rows(
    archive: Path, member: str, columns: int, separator: str = "|", encoding: str = "latin-1"
) -> Iterator[tuple[str, list[str]]]:
    """The rows of one file of the archive, each with the place where it stands, as far as they are asked for.

    Nothing is believed of what the archive says of its size: bytes are counted while they are inflated.
    """
    if archive.is_dir():
        raise ValueError(f"{archive} is a folder; expected the zip file itself, which need not be unpacked")
    name, number, size = member.rpartition("/")[2], 0, 0
    try:
        with zipfile.ZipFile(archive) as opened:
            if opened.getinfo(member).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{archive} has {member} in a rare compression; expected it stored or deflated")
            with opened.open(member) as lines:
                while line := lines.readline(MOST_BYTES + 1):
                    size += len(line)
                    number += 1
                    if size > MOST_BYTES:
                        raise ValueError(
                            f"{archive} unpacks to more than {MOST_BYTES} bytes in {member}; expected far fewer"
                        )
                    place = f"{name}, line {number},"
                    try:
                        text = line.removesuffix(b"\n").removesuffix(b"\r").decode(encoding)
                    except UnicodeDecodeError as error:
                        raise ValueError(f"{place} is not text ({error.reason}); expected {encoding}") from error
                    if text:
                        row = text.split(separator)
                        if len(row) != columns:
                            raise ValueError(f"{place} has {len(row)} columns; expected {columns}")
                        yield place, row
    except KeyError as error:
        raise ValueError(f"{archive} has no {member}; expected an archive that has") from error
    except (FileNotFoundError, ValueError):
        raise
    except Exception as error:  # damage can surface in zipfile or in its decompressor
        raise ValueError(f"{archive} is not a complete zip archive ({error!r}); download it again") from error


def integer(place: str, field: str) -> int:
    """The number in a field of a row."""
    if not (field.isascii() and field.isdigit() and len(field) < 19):
        raise ValueError(f"{place} has {field[:40]!r}; expected an integer")
    return int(field)
