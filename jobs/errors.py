"""What can go wrong with a verb, and the exit code that a scheduler sees for it."""

from collections.abc import Iterator
from contextlib import contextmanager


class VerbError(Exception):
    """A verb did not do everything that was asked for. Its text says what, where, why and what to do next."""

    exit_code = 1


class ConfigError(VerbError):
    """The configuration is wrong: an unknown key, a value out of range, two settings that exclude each other."""

    exit_code = 2


class InputError(VerbError):
    """An input is missing or is not what the configuration says it is."""

    exit_code = 2


class QuarantineError(VerbError):
    """More documents were quarantined than the tolerance allows. The tables were written."""

    exit_code = 3


class BusyError(VerbError):
    """Another process works on the same tables, or began to meanwhile."""


class StorageError(VerbError, OSError):
    """An object store did not answer, or refused. What was committed stands; running the verb again is the repair."""


class BalanceError(VerbError):
    """Counts read back from the tables do not add up: documents were lost or doubled."""


class ServerError(VerbError):
    """A server that the verb needs does not answer."""


class ExecutorError(VerbError):
    """A task failed in an executor, in every attempt; its last words are the message, the traceback is the cause."""


@contextmanager
def executor_errors(verb: str) -> Iterator[None]:
    """Turns the failure of a task's Python code into ExecutorError, which says first what the task said last."""
    from pyspark.errors import PythonException

    try:
        yield
    except PythonException as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = [line for line in lines if not line.startswith(("at ", "File ", "JVM stacktrace", "Driver stacktrace"))]
        raise ExecutorError(f"{verb} failed in an executor, nothing was published: {said[-1]}") from error
