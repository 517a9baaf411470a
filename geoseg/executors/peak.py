"""Peak: the largest resident size that a process ever had, as each system reports it."""

import sys
from pathlib import Path

import psutil


def peak_memory_bytes(pid: int | None = None) -> int:
    """Return the largest resident size a process ever had, by default this one's; raises psutil.Error where it is gone.

    Linux and Windows report it for every process; of others' elsewhere what they hold now is returned. Not what Linux
    says by getrusage: that counts what the process was forked from.
    """
    process = psutil.Process(pid)
    if sys.platform == "linux":
        return _high_water_bytes(process.pid) or process.memory_info().rss
    now = process.memory_info()
    if pid is None and sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes there, and KiB elsewhere
    return int(getattr(now, "peak_wset", now.rss))  # Windows


def _high_water_bytes(pid: int) -> int | None:
    """Return what Linux says, None where it does not."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) * 1024 if lines else None
