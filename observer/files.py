"""Files that others can reach, too: opened without waiting, read within limits, written where no link leads.

The folder of a trace lies where the observed program may write, and the names in a trace may lead anywhere. So a
FIFO or a device is refused before anybody waits for it, a link inside a trace is never followed, everything in a
folder is reached through one descriptor wherever its name leads meanwhile, and nothing is mapped: whoever truncates
a mapped file ends its readers by SIGBUS.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

__all__ = ["File", "Folder", "NewFile", "make_folder", "open_regular", "real_path"]

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_CREATE: Final = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PARTIAL: Final = re.compile(r"(.+)\.[0-9a-f]{8}\.partial")


def open_regular(path: str | Path) -> BinaryIO:
    """Open the regular file at *path* for reading; links are followed, for whoever named it may have meant one.

    Raises:
        OSError: there is none, or it is something else: EINVAL, `not a regular file`.
    """
    return os.fdopen(_regular(os.open(path, _READ)), "rb")


def make_folder(path: Path, mode: int = 0o777) -> None:
    """Make the folder *path*, for its maker to fill.

    Raises:
        OSError: it cannot be made; EACCES where the umask keeps its own maker out, and then nothing is left.
    """
    os.mkdir(path, mode)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        os.rmdir(path)
        raise PermissionError(errno.EACCES, "your umask takes your own rights away (umask 022 does not)")


def real_path(path: Path) -> Path:
    """Return the absolute *path* without links, as far as they lead anywhere; never raises.

    Path.resolve does for links that lead in a circle, and both where there is no working directory any more.
    """
    try:
        return Path(os.path.realpath(path))
    except OSError:
        return path


def _regular(fd: int) -> int:
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "not a regular file")


class File:
    """A regular file of a folder, opened for reading; it stays open as long as somebody holds it.

    `size` are its bytes when it was opened; `path` leads to this very file, within this process, whatever becomes of
    its name.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = os.fstat(fd).st_size
        self.path = f"/proc/self/fd/{fd}"
        self.close = weakref.finalize(self, os.close, fd)

    @classmethod
    def in_memory(cls, pieces: Iterable[tuple[int, bytes | bytearray]]) -> File:
        """Return a file that lies in memory alone, of *pieces* and the places they are put at (memfd_create(2))."""
        fd = os.memfd_create("pieces", os.MFD_CLOEXEC)
        try:
            for at, data in pieces:
                done = 0
                while done < len(data):
                    done += os.pwrite(fd, memoryview(data)[done:], at + done)
        except BaseException:
            os.close(fd)
            raise
        return cls(fd)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def by_now(self) -> File:
        """Return the same file, opened now that somebody may have written to it."""
        return File(os.dup(self._fd))

    def read_at(self, at: int, length: int) -> bytes:
        """Return *length* bytes from *at* on; fewer where the file ends."""
        return os.pread(self._fd, length, at)

    def read_into(self, buffer: memoryview, at: int = 0) -> int:
        """Fill *buffer* from *at* on; return how many bytes there were."""
        done = 0
        while done < len(buffer):
            got = os.preadv(self._fd, [buffer[done:]], at + done)
            if not got:
                break
            done += got
        return done

    def lines(self, longest: int) -> Iterator[bytes]:
        """Yield the lines, each with its end, in pieces of at most *longest* bytes."""
        with os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(0)
            while line := file.readline(longest):
                yield line


class NewFile:
    """A file that was not there before, to which only is appended; `size` are the bytes that it holds by our count."""

    def __init__(self, folder: Folder, name: str, mode: int = 0o600) -> None:
        self.name = name
        self.size = 0
        self._folder = folder
        self._fd = folder.create(name, mode)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Write *data* to the end, all of it or nothing; raises OSError when there is no room."""
        try:
            done = os.write(self._fd, data)
            while done < len(data):
                done += os.write(self._fd, data[done:])
        except OSError:
            self.cut(self.size)
            raise
        self.size += done

    def read_at(self, at: int, length: int) -> bytes:
        """Return *length* bytes from *at* on; fewer where the file ends."""
        return os.pread(self._fd, length, at)

    def reserve(self, size: int) -> None:
        """Set *size* bytes of the disk aside, which `cut` gives back; raises OSError when there are not so many."""
        os.posix_fallocate(self._fd, 0, size)

    def cut(self, size: int) -> None:
        """Take back what lies behind the first *size* bytes."""
        os.ftruncate(self._fd, size)
        self.size = size

    def is_as_written(self) -> bool:
        """Whether the name still leads to this file, and the file is as long as what was written."""
        mine = os.fstat(self._fd)
        try:
            there = os.stat(self.name, dir_fd=self._folder.fileno(), follow_symlinks=False)
        except OSError:
            return False
        return mine.st_size == self.size and os.path.samestat(mine, there)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class Folder:
    """An opened folder: everything in it is reached through its descriptor, and no link in it is followed.

    `path` is where it was found, for messages and for `is_at_its_path`. It stays open as long as somebody holds it.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._made: set[str] = set()
        self.close = weakref.finalize(self, os.close, fd)

    @classmethod
    def open(cls, path: Path) -> Folder:
        """Open the folder at *path*, which may be a link: its user named it."""
        return cls(path, os.open(path, _READ | os.O_DIRECTORY))

    @classmethod
    def make(cls, path: Path, mode: int = 0o755) -> Folder:
        """Make the folder *path*; raises as `make_folder`, FileExistsError where a dangling link is, too."""
        make_folder(path, mode)
        try:
            return cls(path, os.open(path, _READ | os.O_DIRECTORY | os.O_NOFOLLOW))
        except OSError:
            os.rmdir(path)
            raise

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def make_folder(self, name: str, mode: int = 0o700) -> Folder:
        """Make the folder *name* in this one."""
        os.mkdir(name, mode, dir_fd=self._fd)
        self._made.add(name)
        return self.folder(name)

    def folder(self, name: str) -> Folder:
        """Open the folder *name* in this one; raises OSError, for a link ENOTDIR."""
        return Folder(self.path / name, os.open(name, _READ | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._fd))

    def names(self) -> frozenset[str]:
        """Return the names of all that is in it."""
        return frozenset(os.listdir(self._fd))

    def strangers(self) -> list[str]:
        """Return the names of what is in it and was not made by way of this value."""
        return sorted(self.names() - self._made)

    def has(self, name: str) -> bool:
        """Whether *name* is a regular file in it."""
        try:
            return stat.S_ISREG(os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_mode)
        except OSError:
            return False

    def create(self, name: str, mode: int = 0o600) -> int:
        """Create the file *name*, which must not be there; return a descriptor for reading and appending."""
        # Were it not for O_APPEND, a file that somebody truncated would have its old length after our next write.
        fd = os.open(name, os.O_RDWR | os.O_APPEND | _CREATE, mode, dir_fd=self._fd)
        self._made.add(name)
        return fd

    def file(self, name: str, most: int | None = None) -> File:
        """Open the regular file *name* of at most *most* bytes.

        Raises:
            OSError: it is missing, a link (ELOOP), no regular file (EINVAL), or larger (EFBIG).
        """
        try:
            file = File(_regular(os.open(name, _READ | os.O_NOFOLLOW, dir_fd=self._fd)))
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(errno.ELOOP, "it is a link, which is not followed") from error
            raise
        if most is not None and file.size > most:
            raise OSError(errno.EFBIG, f"its {file.size:,} bytes are more than {most:,}")
        return file

    def read(self, name: str, most: int) -> bytes:
        """Return the content of the regular file *name*; raises as `file`."""
        file = self.file(name, most)
        return file.read_at(0, file.size)

    def nameless(self) -> File:
        """Return a new file on the folder's disk that has no name: it is gone when nobody holds it."""
        name = f"{secrets.token_hex(8)}.partial"
        file = File(self.create(name))
        self.remove(name)
        self._made.discard(name)
        return file

    @contextlib.contextmanager
    def replacing(self, name: str) -> Iterator[NewFile]:
        """Give a new file to be written; when that ends well it takes the place of *name*, whole or not at all."""
        file = NewFile(self, f"{name}.{secrets.token_hex(4)}.partial", 0o644)
        try:
            yield file
            os.replace(file.name, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            self._made.add(name)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file.name, dir_fd=self._fd)
            raise
        finally:
            file.close()

    def replace(self, name: str, content: bytes) -> None:
        """Put *content* in the place of *name*, on the disk when this returns."""
        with self.replacing(name) as file:
            file.append(content)
            os.fsync(file.fileno())

    @staticmethod
    def whole_name(name: str) -> str:
        """Return the name that the file will have which `replacing` calls *name* until it is whole; else *name*."""
        found = _PARTIAL.fullmatch(name)
        return found[1] if found is not None else name

    def remove(self, name: str) -> None:
        """Remove the file *name*; a link is removed, not what it leads to."""
        os.unlink(name, dir_fd=self._fd)

    def remove_folder(self, name: str) -> None:
        """Remove the empty folder *name*."""
        os.rmdir(name, dir_fd=self._fd)

    def is_at_its_path(self) -> bool:
        """Whether its path still leads to it."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._fd))
        except OSError:
            return False
