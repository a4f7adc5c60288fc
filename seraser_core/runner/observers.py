"""Observers of a run in the process that has its shards computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol

from seraser_core import storage
from seraser_core.errors import ConfigError
from seraser_core.results.nights import read_nights
from seraser_core.results.records import Timings
from seraser_core.results.watched import Seen, Watch, WatchedRun

_WRITE_EVERY_S = 15.0


class Observer(Protocol):
    """Gets the events of a run, in the threads where they happen."""

    def say(self, text: str) -> None:
        """Report a finished step of planning, or a fault that is handled."""

    def planned(self, run_url: str, done: int, total: int) -> None:
        """Report a planned run; `done` of its `total` images already have rows."""

    def finished(self, run_url: str, total: int) -> None:
        """Report a run or series of `total` images that was complete before."""

    def advance(self, images: int) -> None:
        """`images` more images are done; negative when a shard has to begin again."""

    def committed(self, timings: Timings) -> None:
        """A shard was committed; `timings` say where its time went."""


class Silence:
    """The observer of a process in which nobody watches."""

    def say(self, text: str) -> None:
        """Nothing."""

    def planned(self, run_url: str, done: int, total: int) -> None:
        """Nothing."""

    def finished(self, run_url: str, total: int) -> None:
        """Nothing."""

    def advance(self, images: int) -> None:
        """Nothing."""

    def committed(self, timings: Timings) -> None:
        """Nothing."""


class Observers:
    """Several observers as one.

    Args:
        observers: All of them.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def say(self, text: str) -> None:
        """See `Observer.say`."""
        for observer in self._observers:
            observer.say(text)

    def planned(self, run_url: str, done: int, total: int) -> None:
        """See `Observer.planned`."""
        for observer in self._observers:
            observer.planned(run_url, done, total)

    def finished(self, run_url: str, total: int) -> None:
        """See `Observer.finished`."""
        for observer in self._observers:
            observer.finished(run_url, total)

    def advance(self, images: int) -> None:
        """See `Observer.advance`."""
        for observer in self._observers:
            observer.advance(images)

    def committed(self, timings: Timings) -> None:
        """See `Observer.committed`."""
        for observer in self._observers:
            observer.committed(timings)


@contextmanager
def with_textfile(observer: Observer, path: str | None) -> Iterator[Observer]:
    """Keep the figures of planned runs in a file for Prometheus meanwhile.

    Args:
        observer: The observer that is there.
        path: ``execution.textfile``.

    Yields:
        An observer of the same events.

    Raises:
        ConfigError: The file has no folder.
    """
    if path is None:
        yield observer
        return
    if not Path(path).parent.is_dir():
        raise ConfigError(
            "execution.textfile",
            path,
            "its folder is not there; name one that node exporter reads "
            "(--collector.textfile.directory)",
        )
    with _Textfile(Path(path)) as textfile:
        yield Observers(observer, textfile)


class _Textfile(Silence):
    """Writes the figures of runs, one after the other, every few seconds.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, Seen] = {}
        self._watch = ExitStack()

    def __enter__(self) -> _Textfile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watch.__exit__(kind, error, trace)

    def planned(self, run_url: str, done: int, total: int) -> None:
        """Begin with a run, and end with the one before."""
        self._watch.close()
        show = partial(self._show, run_url)
        self._watch.enter_context(Watch(WatchedRun(run_url), show, _WRITE_EVERY_S))

    def finished(self, run_url: str, total: int) -> None:
        """Write a run, or the newest night of a series."""
        nights = read_nights(run_url)
        self.planned(storage.join(run_url, nights[-1].run_id) if nights else run_url, total, total)

    def _show(self, run_url: str, seen: Seen) -> None:
        from seraser_core.results.textfile import write_textfile  # who has no file imports nothing

        self._seen[run_url] = seen
        write_textfile(self._path, self._seen.values())
