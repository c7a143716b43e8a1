"""The one thread that writes to the store, and the bounded queue in front of it."""

import logging
import sqlite3
import threading
from collections import deque
from typing import Final

from mmtrace.server.storage.arrivals import Arrivals
from mmtrace.server.storage.batch import Batch
from mmtrace.server.storage.bound import Bound
from mmtrace.server.storage.inserts import Inserter

logger: Final = logging.getLogger("mmtrace.server")

_RETRY_AFTER: Final = 1.0
_BAD_ROW: Final = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.NotSupportedError)


class Writer:
    """Takes batches while less than `max_waiting` bytes wait, and writes them in their order.

    What was taken is written: while the disk is full, batches wait, and new ones are refused when there is no room.
    """

    def __init__(self, connection: sqlite3.Connection, max_bytes: int, arrivals: Arrivals, max_waiting: int) -> None:
        self.bound = Bound(connection, max_bytes)
        self.waiting = 0
        self.failed_spans = 0
        self.trouble = ""
        self._max_waiting = max_waiting
        self._connection = connection
        self._inserter = Inserter(connection)
        self._arrivals = arrivals
        self._queue: deque[Batch] = deque()
        self._taken = 0
        self._written = 0
        self._closing = False
        self._changed = threading.Condition()
        self._enforce_bound()
        self._thread = threading.Thread(target=self._run, name="mmtrace-store", daemon=True)
        self._thread.start()

    def add(self, batch: Batch) -> bool:
        """Take `batch`, or return False where too much waits already or the store is closed."""
        with self._changed:
            if self._closing or (self.waiting and self.waiting + batch.size > self._max_waiting):
                return False
            self._queue.append(batch)
            self.waiting += batch.size
            self._taken += 1
            self._changed.notify_all()
            return True

    def settle(self, timeout: float) -> bool:
        """Wait until everything that was taken by now is written; return whether it is, at once where it cannot be."""
        with self._changed:
            goal = self._taken
            self._changed.wait_for(lambda: self._written >= goal or self._closing or self.trouble, timeout)
            return self._written >= goal

    def close(self) -> None:
        """Write what waits, and end the thread; says so where something could not be written."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        if self.failed_spans:
            logger.error("%d spans could not be written and are lost", self.failed_spans)

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            self._write(batch)
            with self._changed:
                self.waiting -= batch.size
                self._written += 1
                self._changed.notify_all()

    def _next(self) -> Batch | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            return self._queue.popleft() if self._queue else None

    def _write(self, batch: Batch) -> None:
        while not self._written_once(batch):
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, _RETRY_AFTER):
                    self._fail(batch)
                    return
        self._arrivals.publish(batch.traces)

    def _written_once(self, batch: Batch) -> bool:
        """Try to write; False means that it is worth trying again."""
        try:
            self._inserter.insert(batch)
        except Exception as error:
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, _BAD_ROW):
                self._complain(f"the store cannot be written ({error}); trying again until it can")
                return False
            self._complain(f"a batch could not be stored: {error!r}")
            self._fail(batch)
        else:
            self._enforce_bound()
        return True

    def _enforce_bound(self) -> None:
        try:
            if self.bound.enforce():
                self._inserter.forget()
            self.trouble = ""
        except sqlite3.Error as error:
            self._complain(f"the store cannot be kept within its bound: {error}")

    def _fail(self, batch: Batch) -> None:
        self.failed_spans += batch.span_count

    def _complain(self, trouble: str) -> None:
        if trouble != self.trouble:
            logger.error("%s", trouble)
        with self._changed:
            self.trouble = trouble
            self._changed.notify_all()
