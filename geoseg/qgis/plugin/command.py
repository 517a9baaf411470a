"""geoseg's command line from QGIS: where it is, and how it runs with progress, cancel and one line of error."""

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from pathlib import Path

from qgis.core import QgsProcessingException, QgsSettings

SETTING = "geoseg/executable"
INSTALLED_BY = Path(__file__).with_name("command.txt")  # geoseg qgis install writes it
WINDOWS = os.name == "nt"
# What QGIS sets for its own Python and GDAL, and would lead another Python astray.
OWN_OF_QGIS = {
    "PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA",
    "QT_PLUGIN_PATH",
}  # fmt: skip
NOT_FOUND = (
    'geoseg is not installed for QGIS: run the algorithm "Make geoseg\'s environment" of this toolbox once, '
    "or type: uv tool install geoseg"
)
WAIT_S = 0.2  # between two looks at the cancel button
PATIENCE_S = 25.0  # geoseg finishes the chunk that is under way


def environment_folder():
    """Return the folder in which the plugin makes geoseg's environment unless told otherwise; the user sees it."""
    return Path.home() / "geoseg-environment"


def program(folder, name):
    """Return where an environment keeps a program."""
    return Path(folder) / ("Scripts" if WINDOWS else "bin") / (name + (".exe" if WINDOWS else ""))


def executable():
    """Return geoseg's command: as set, that which installed the plugin, that of its environment, or on PATH.

    Raises QgsProcessingException with what to do where there is none.
    """
    told = [os.environ.get("GEOSEG_EXECUTABLE"), QgsSettings().value(SETTING, "")]
    if INSTALLED_BY.is_file():
        told.append(INSTALLED_BY.read_text(encoding="utf-8").strip())
    found = [path for path in (*told, program(environment_folder(), "geoseg")) if path and Path(path).is_file()]
    path = found[0] if found else shutil.which("geoseg")
    if not path:
        raise QgsProcessingException(NOT_FOUND)
    return str(path)


def clean_environment():
    """Return the environment without what belongs to QGIS."""
    return {name: value for name, value in os.environ.items() if name not in OWN_OF_QGIS}


def run(command, feedback):
    """Run a command until it ends and return all that it printed on stdout.

    Progress, warnings and other lines go to feedback. Where it is cancelled there, the command is stopped. Raises
    QgsProcessingException with the last error line where it fails.
    """
    feedback.pushCommandInfo(subprocess.list2cmdline(command))
    hidden = {"creationflags": subprocess.CREATE_NO_WINDOW} if WINDOWS else {}
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
            encoding="utf-8", errors="replace", env=clean_environment(), **hidden,
        )  # fmt: skip
    except OSError as error:
        raise QgsProcessingException(
            f"{command[0]} cannot be started ({error}); make geoseg's environment anew"
        ) from error
    lines, printed = queue.Queue(), []
    readers = [
        threading.Thread(target=lambda: [lines.put(line) for line in process.stderr], daemon=True),
        threading.Thread(target=lambda: printed.extend(process.stdout), daemon=True),
    ]
    for reader in readers:
        reader.start()
    last = ""
    while readers[0].is_alive() or not lines.empty():
        if feedback.isCanceled():
            _stop(process)
            break
        try:
            last = _tell(lines.get(timeout=WAIT_S), feedback) or last
        except queue.Empty:
            continue
    code = process.wait()
    readers[1].join(PATIENCE_S)
    for line in printed:
        feedback.pushConsoleInfo(line.rstrip())
    if code and not feedback.isCanceled():
        raise QgsProcessingException(last or f"{Path(command[0]).name} ended with exit code {code}")
    return "".join(printed)


def _tell(line, feedback):
    """Show one line of geoseg's; returns its message where it is an error or plain text."""
    try:
        said = json.loads(line)
        level, message = said.get("level"), said.get("message", "")
    except (ValueError, AttributeError):
        feedback.pushConsoleInfo(line.rstrip())
        return line.strip()
    if level == "error":
        return message
    if level == "warning":
        getattr(feedback, "pushWarning", feedback.pushInfo)(message)  # since 3.16.2
    elif level:
        feedback.pushInfo(message)
    elif said.get("total"):
        feedback.setProgress(100 * said["done"] / said["total"])
    return ""


def _stop(process):
    """Ask a command to end, and end it where it does not."""
    process.terminate() if WINDOWS else process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
