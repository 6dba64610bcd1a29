"""
Where a replica finds a sample's bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from orchestrator.contracts.assignment import Where
from orchestrator.store.samples import SampleStore

#: Sample, task and attempt → where the bytes are for that attempt.
Locator = Callable[[str, UUID, int], Where]

#: How long a signed URL is good: as long as an assignment may wait in the window.
_URL_SECONDS = 3600


def locator(store: SampleStore, *, is_shared: bool) -> Locator:
    """
    Return what locates the samples of a store.

    On the shared folder if there is one; else by a URL that the store signs, where it
    can; else at the API, with the attempt's token. Replicas read the first two only
    where their own settings name the folder or the host.

    Args:
        is_shared: Whether replicas see the store's folder at the same path.
    """

    def locate(sha256: str, task_id: UUID, attempt: int) -> Where:
        shared = store.path(sha256)
        if is_shared and shared is not None:
            return Where(kind="path", value=str(shared))
        url = store.url(sha256, seconds=_URL_SECONDS)
        if url is not None:
            return Where(kind="url", value=url)
        return Where(kind="http", value=f"/internal/task/{task_id}/{attempt}/sample")

    return locate
