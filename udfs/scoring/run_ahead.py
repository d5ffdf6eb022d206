"""Lets an iterator run ahead of its consumer, in a thread of its own and by a bounded number of items.

What makes reading, tokenizing, computing and writing happen at the same time: Arrow, the tokenizers and torch let
other threads run while they work.
"""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def ahead(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """Yields the same items in the same order while up to `depth` of the next are being made in another thread.

    What the items raise is raised here, after the items before it. Once this generator is closed nothing more is taken
    from the items, and they are closed if they are a generator.
    """
    iterator, waiting = iter(items), deque[Future[object]]()
    pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    try:
        while True:
            while len(waiting) < depth + 1:
                waiting.append(pool.submit(next, iterator, _END))
            item = waiting.popleft().result()
            if item is _END:
                return
            yield item  # type: ignore[misc]  # whatever is not _END came from the items
    finally:
        pool.shutdown(cancel_futures=True)
        close = getattr(iterator, "close", None)
        if close is not None:
            close()
