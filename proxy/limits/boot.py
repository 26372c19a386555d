"""Which start of the machine this is: times of the monotonic clock mean nothing in another one."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

_LINUX = Path("/proc/sys/kernel/random/boot_id")
_SIZE = 64


@cache
def boot_id() -> bytes:
    """64 bytes; zeros where the system does not say."""
    if sys.platform == "darwin":
        text = _sysctl(b"kern.bootsessionuuid")
    else:
        try:
            text = _LINUX.read_bytes().strip()
        except OSError:
            text = b""
    return text[:_SIZE].ljust(_SIZE, b"\0")


def _sysctl(name: bytes) -> bytes:
    import ctypes

    buffer = ctypes.create_string_buffer(_SIZE)
    size = ctypes.c_size_t(_SIZE)
    call = ctypes.CDLL(None).sysctlbyname
    if call(name, buffer, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        return b""
    return buffer.value
