"""Work that runs in the background, one piece at a time, on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, ParamSpec, TypeVar

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


class BackgroundTask(Generic[Result]):
    """One thread for one kind of work. The caller starts a piece of work, goes on, and takes the result later.

    Used by one caller. At most one piece of work is pending, so what is found does not depend on how fast the machine
    is, and nothing queues up. The thread begins with the first piece of work and ends with the process.
    """

    def __init__(self, name: str) -> None:
        """``name``: of the thread, as debuggers and profilers show it."""
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._pending: Future[Result] | None = None

    def start(
        self, work: Callable[Arguments, Result], *arguments: Arguments.args, **keywords: Arguments.kwargs
    ) -> None:
        """Begin a piece of work. Raises RuntimeError if the result of the one before has not been taken or dropped."""
        if self._pending is not None:
            raise RuntimeError("background task: the result of the work before has not been taken")
        self._pending = self._executor.submit(work, *arguments, **keywords)

    @property
    def is_pending(self) -> bool:
        """Whether there is a result to be taken, now or when the work has ended."""
        return self._pending is not None

    @property
    def is_running(self) -> bool:
        """Whether `result` would have to wait."""
        return self._pending is not None and not self._pending.done()

    def result(self) -> Result:
        """Wait for the work and take its result; raises what the work has raised, and RuntimeError without any work."""
        pending, self._pending = self._pending, None
        if pending is None:
            raise RuntimeError("background task: there is no work whose result could be taken")
        return pending.result()

    def exception(self) -> BaseException | None:
        """Wait for the work; what it has raised, None if it has a result. Raises RuntimeError without any work."""
        if self._pending is None:
            raise RuntimeError("background task: there is no work whose result could be taken")
        return self._pending.exception()

    def drop(self) -> None:
        """Forget the work, whose result nobody needs any more. What has begun is not interrupted; what has not begun
        never begins."""
        if self._pending is not None:
            self._pending.cancel()
        self._pending = None
