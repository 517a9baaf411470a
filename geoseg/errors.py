"""Every error a user can cause, each with the exit code that the command line documents.

An error is one line: what, where, what to do. Each is a builtin type as well, to be caught without geoseg.
"""


class GeosegError(Exception):
    """Base of all errors that geoseg raises on purpose."""

    exit_code = 1


class ConfigError(GeosegError, ValueError):
    """A flag, a config key or a combination of them makes no sense."""

    exit_code = 2


class MissingExtraError(ConfigError):
    """A library is not installed that an extra of geoseg brings."""


class InputError(GeosegError, ValueError):
    """The scene, the labels or another input cannot be used."""

    exit_code = 3


class ModelError(GeosegError, ValueError):
    """The model bundle is missing, damaged, or does not fit the scene."""

    exit_code = 4


class OutputError(GeosegError, FileExistsError):
    """The output exists, is in use, or belongs to another plan."""

    exit_code = 5


class DiskFullError(OutputError):
    """No space is left where outputs go, so nothing more can be written there."""


class PlanChangedError(OutputError):
    """The source, a model or geoseg itself is no longer what the job was planned with."""


class MemoryBudgetError(GeosegError, MemoryError):
    """The job does not fit the memory it was given; the message names the largest chunk that does."""

    exit_code = 6


class IncompleteError(GeosegError, RuntimeError):
    """Some chunks failed; what is done stays, and the same command resumes."""

    exit_code = 7


class FaultFoundError(GeosegError, RuntimeError):
    """A check of finished outputs found a fault."""

    exit_code = 8


class TryAgainError(GeosegError, RuntimeError):
    """The run was stopped from outside, or lost its scheduler; what is done stays, and the same command goes on."""

    exit_code = 75
