"""The generations that a fake remembers, by id and by the path of their video."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from fake_server.service.generation import FakeGeneration
from fake_server.service.store import Store

__all__ = ["Generations"]


class Generations:
    """The newest generations, at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._by_id: OrderedDict[str, FakeGeneration] = OrderedDict()
        self._ids_by_video: dict[str, str] = {}
        self._store: Store | None = None
        self.by_id: Mapping[str, FakeGeneration] = MappingProxyType(self._by_id)
        """Every generation that is remembered, oldest first."""

    def keep_in(self, store: Store) -> None:
        """Remember the generations in a store, and write every change to it from now on."""
        self._store = store
        for generation in store.generations():
            self._remember(generation)

    def put(self, generation: FakeGeneration) -> None:
        """Remember a generation, in place of the one with its id. If there are too many, forget the oldest."""
        if self._store is not None:  # first: a generation that cannot be kept must not be seen
            self._store.put(generation)
        self._remember(generation)

    def count_poll(self, generation: FakeGeneration) -> None:
        """Count an answered poll, if polls are what moves this generation along."""
        if generation.polls is not None:
            self.put(replace(generation, polls=generation.polls + 1))

    def with_video_at(self, path: str) -> FakeGeneration | None:
        """Return the generation whose video has this path, None if there is none."""
        found = self._ids_by_video.get(path)
        return None if found is None else self._by_id[found]

    def clear(self) -> None:
        """Forget all of them."""
        if self._store is not None:
            self._store.clear()
        self._by_id.clear()
        self._ids_by_video.clear()

    def _remember(self, generation: FakeGeneration) -> None:
        self._by_id[generation.id] = generation
        self._ids_by_video[generation.video_path] = generation.id
        while len(self._by_id) > self._limit:
            _, oldest = self._by_id.popitem(last=False)
            del self._ids_by_video[oldest.video_path]
            if self._store is not None:
                self._store.forget(oldest.id)
