"""One segment of a spool: how its bytes are laid out, how it is made, and how it is closed.

    name     <sequence>-<mark>.wal      sequence: milliseconds since 1970, always rising; mark: 8 random bytes as hex
    0..127   header                     for a person, and the version
    128..    frames, each               mark 8s | length u32 | crc32 u32 | msgpack, little endian
    then     a seal                     mark 8s | one of SEALS u32 | crc32 of those 12 bytes
    then     zeros                      until the file is cut

The mark stands before each frame, so that a reader finds the next whole one behind damage; as nobody can guess it, no
text a client sent can pass for a frame. It is in the name too, so a damaged header costs nothing.

A segment is made (under another name, `.new`, until it is complete) before it is needed, and stays empty until the one
before it is full: one in which something stands says that nothing will be added to those with an earlier sequence.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from enum import Enum
from pathlib import Path
from typing import Final

from proxy.core.clock import now

VERSION: Final = 1
MAGIC: Final = b"HEADRACE"
MARK: Final = 8
FRAME: Final = struct.Struct("<8sII")
FIRST: Final = 128
"""Where the first frame is."""

CLOSED: Final = 0xFFFFFFFF
"""Its writer went on to another segment, or stopped."""
SETTLED: Final = 0xFFFFFFFE
"""And every request that began in it, or before, has its end: recovery need not look further back."""
SEALS: Final = (CLOSED, SETTLED)

_HEADER: Final = struct.Struct("<8sHdIQ36s32s")
_CRC: Final = struct.Struct("<I")
_DEPENDABLE: Final = frozenset({"ext4", "xfs", "tmpfs"})
"""File systems on which a block that was allocated can always be written. On others (those that write elsewhere each
time, those of a network) a copy into mapped memory could kill the process: there `write` is used, which says so."""


class Found(Enum):
    """What stands at a place in a segment."""

    WHOLE = 1
    SEAL = 2
    NOTHING = 3
    """Zeros: nothing was written here yet."""
    SHORT = 4
    """It goes on behind the bytes at hand."""
    BAD = 5


def look(data: bytes, at: int, mark: bytes) -> tuple[Found, int]:
    """What is at `at`, and where it ends (SHORT: where it would)."""
    if len(data) - at < FRAME.size:
        return Found.SHORT, at + FRAME.size
    found, length, crc = FRAME.unpack_from(data, at)
    begin = at + FRAME.size
    if found != mark:
        return Found.BAD if any(data[at:begin]) else Found.NOTHING, at
    if length not in SEALS:
        end = begin + int(length)
        if end > len(data):
            return Found.SHORT, end
        whole = zlib.crc32(memoryview(data)[begin:end]) == crc
        return (Found.WHOLE if whole and length else Found.BAD), end
    if zlib.crc32(data[at : begin - 4]) == crc:
        return Found.SEAL, begin
    return Found.BAD, at


def seal(mark: bytes, kind: int) -> bytes:
    """The bytes that say nothing follows."""
    words = FRAME.pack(mark, kind, 0)[:-4]
    return words + _CRC.pack(zlib.crc32(words))


def version(data: bytes) -> int | None:
    """That of the header; None: it is damaged."""
    if len(data) < FIRST or data[: len(MAGIC)] != MAGIC:
        return None
    words = data[: _HEADER.size]
    if _CRC.unpack_from(data, _HEADER.size)[0] != zlib.crc32(words):
        return None
    return int(_HEADER.unpack(words)[1])


def mark_of(name: str) -> bytes | None:
    """The mark in the name of a segment; None: it is not one."""
    stem, dot, end = name.partition(".")
    sequence, _, mark = stem.partition("-")
    if (
        dot + end != ".wal"
        or len(mark) != 2 * MARK
        or not (sequence.isascii() and sequence.isdigit())
    ):
        return None
    try:
        return bytes.fromhex(mark)
    except ValueError:
        return None


def sequence_of(name: str) -> int:
    """Of a name that is one of a segment."""
    return int(name.partition("-")[0])


def listed(folder: Path) -> list[str]:
    """The names of the segments of one worker, in the order they were written. A folder that is not there has none."""
    try:
        names = [name for name in os.listdir(folder) if mark_of(name) is not None]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(names, key=lambda name: (sequence_of(name), name))


def following(last: int) -> int:
    """A sequence behind this one; 0: there is none."""
    return max(last + 1, int(now() * 1000))


def make_folder(folder: Path) -> None:
    """And those it is in: nobody else looks into any that is new. Raises OSError."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def dependable(folder: Path) -> bool:
    """Whether mapped memory of a file there that has its blocks can be written without fail."""
    try:
        device = os.stat(folder).st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}"
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            kinds = [
                words[words.index("-") + 1]
                for words in map(str.split, mounts)
                if words[2] == wanted
            ]
    except (OSError, ValueError, IndexError):
        return False
    return bool(kinds) and _DEPENDABLE.issuperset(kinds)


def allocate(fd: int, size: int) -> None:
    """Give the file blocks for `size` bytes, so that a full disk is noticed now. Raises OSError."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        os.posix_fallocate(fd, 0, size)
        return
    done, zeros = os.fstat(fd).st_size, bytes(1 << 20)
    while done < size:
        done += os.pwrite(fd, zeros[: size - done], done)


def position(sequence: int, end: int) -> int:
    """Where a record is in all a worker ever wrote: the later, the greater. `end` is where its frame ends in its segment.

    42 bits of sequence (until 2109), 20 of places of 64 bytes, which every record fills, and one that is free: 63.
    """
    return sequence << 21 | end >> 6 << 1


class Written:
    """In the place of a map, where that is not safe: assigning to a slice writes there. Raises OSError."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __setitem__(self, where: slice, data: bytes) -> None:
        if os.pwrite(self._fd, data, where.start) != len(data):
            raise OSError(28, "No space left on device")

    def close(self) -> None:
        """Nothing of its own to give back."""


class Segment:
    """One that is being written. `data[at:end] = bytes` puts them there."""

    __slots__ = ("_path", "data", "fd", "mark", "room", "sequence")

    def __init__(self, folder: Path, worker: str, size: int, *, mapped: bool) -> None:
        """Made with all its blocks, under a name no reader looks at. Raises OSError, and leaves nothing then."""
        make_folder(folder)
        self.mark = os.urandom(MARK)
        self.sequence = 0
        self._path = folder / f"{self.mark.hex()}.new"
        self.room = size - FRAME.size
        """Where frames end at the latest: a seal fits behind."""
        self.fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            allocate(self.fd, size)
            os.pwrite(self.fd, _header(worker), 0)
            self.data = mmap.mmap(self.fd, size) if mapped else Written(self.fd)
        except OSError:
            os.close(self.fd)
            self._path.unlink()
            raise

    @property
    def name(self) -> str:
        return self._path.name

    def publish(self, sequence: int) -> None:
        """Readers find it from now on. Raises OSError."""
        named = self._path.with_name(f"{sequence:013d}-{self.mark.hex()}.wal")
        self._path.rename(named)
        self._path = named
        self.sequence = sequence

    def cut(self, end: int) -> None:
        """Give back what is not used, write the rest to the disk, and let go of it. Raises OSError."""
        self.data.close()
        try:
            os.ftruncate(self.fd, end)
            write_through(self.fd)
        finally:
            os.close(self.fd)

    def discard(self) -> None:
        """It was not needed. Raises OSError."""
        self.data.close()
        os.close(self.fd)
        self._path.unlink()


def write_through(fd: int) -> None:
    """Onto the disk, what was written through the map too. Lets other threads run. Raises OSError."""
    getattr(os, "fdatasync", os.fsync)(fd)


def sync_folder(folder: Path) -> None:
    """Names onto the disk. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _header(worker: str) -> bytes:
    words = _HEADER.pack(
        MAGIC, VERSION, now(), os.getpid(), _started(), _boot().encode(), worker.encode()[:32]
    )
    return (words + _CRC.pack(zlib.crc32(words))).ljust(FIRST, b"\0")


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _started() -> int:
    """Ticks from boot to the start of this process: with its number, which is used again, it names the process."""
    try:
        return int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
