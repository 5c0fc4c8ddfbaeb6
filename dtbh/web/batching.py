"""A batcher: work that arrives together is done together, by one thread, and never more than it can hold.

While a batch is under way others gather and make the next, so an idle batcher adds no wait, and a busy one gets faster
by the batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Work = TypeVar("Work")
Done = TypeVar("Done")


class OverloadedError(Exception):
    """More work than the service can hold, or a wait that got too long."""


class MicroBatcher(Generic[Work, Done]):
    """A queue with one thread behind it.

    Args:
        name: Of the thread.
        run: Does a batch, in the thread; gives a result, or an exception, for each piece of work.
        batch: Most pieces in a batch.
        waiting: Most pieces that may wait.
    """

    def __init__(
        self, name: str, run: Callable[[Sequence[Work]], Sequence[Done | Exception]], *, batch: int, waiting: int
    ) -> None:
        self._run, self._batch, self._waiting = run, batch, waiting
        self._queue: deque[tuple[Work, asyncio.Future[Done]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"dtbh-{name}")
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Pieces that wait."""
        return len(self._queue)

    def submit(self, work: Sequence[Work]) -> list[asyncio.Future[Done]]:
        """Queue work; a future that is cancelled before its batch starts costs nothing.

        Raises:
            OverloadedError: The batcher is full.
        """
        if len(self._queue) + len(work) > self._waiting:
            raise OverloadedError
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Done]] = [loop.create_future() for _ in work]
        self._queue.extend(zip(work, futures, strict=True))
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        return futures

    async def close(self) -> None:
        """Finish what is under way."""
        if self._worker is not None:
            await self._worker
        self._thread.shutdown()

    async def _work(self) -> None:
        """Batch after batch until the queue is empty."""
        loop = asyncio.get_running_loop()
        while batch := self._next():
            try:
                results = await loop.run_in_executor(self._thread, self._run, [work for work, _ in batch])
            except Exception as error:  # a fault of ours: each of the batch is told, and the batcher goes on
                results = [error] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _next(self) -> list[tuple[Work, asyncio.Future[Done]]]:
        """The next pieces that somebody still waits for."""
        batch: list[tuple[Work, asyncio.Future[Done]]] = []
        while self._queue and len(batch) < self._batch:
            work, future = self._queue.popleft()
            if not future.cancelled():
                batch.append((work, future))
        return batch
