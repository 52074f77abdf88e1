"""One generation of the fake: when it began and how it goes. Its status is asked for, never set."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from kling_contract.lifecycle import Lifecycle, Step, Timeline

if TYPE_CHECKING:
    from fake_server.store import Store

__all__ = ["Generation", "Generations"]


@dataclass(frozen=True, slots=True)
class Generation:
    """What the fake keeps of a generation.

    `created_at` is in seconds since 1970 on the fake's clock, `duration` the seconds of video asked for, `price` what it
    costs once booked, `video_url` where its video is on the documented host, `image_url` what was asked for, cut short.
    `polls` is how many polls were answered, for one that goes on a step with each of them; None for one that follows time.
    """

    id: str
    created_at: float
    timeline: Timeline
    model: str
    duration: float
    price: float
    video_url: str
    image_url: str
    polls: int | None = None

    @property
    def video_path(self) -> str:
        """The path of `video_url`, on which any fake on any host serves the video."""
        return "/" + self.video_url.partition("?")[0].split("/", 3)[3]

    def video_url_on(self, origin: str | None) -> str:
        """Return where the video is for whoever reaches the fake at `origin` (None: on the documented host)."""
        return self.video_url if origin is None else f"{origin}/{self.video_url.split('/', 3)[3]}"

    def status(self, now: float) -> str:
        """Return the status that a poll at `now` is answered with."""
        if self.polls is None:
            return self.timeline.status_at(now - self.created_at)
        return self.timeline.steps[min(self.polls, len(self.timeline.steps) - 1)].status

    def redirected(self, now: float, timeline: Timeline) -> Generation:
        """Return it as it goes on by another timeline from `now` on, as if it had had that one from the beginning.

        What could be seen before stays as it was.
        """
        if self.polls is None:
            turn = max(0.0, now - self.created_at)
            seen = [step for step in self.timeline.steps if step.at < turn]
            ahead = [step for step in timeline.steps if step.at > turn]
            return replace(self, timeline=Timeline((*seen, Step(timeline.status_at(turn), turn), *ahead)))
        # a step with each poll: when each would begin by the clock does not matter, but it must be in order
        old, new = ([step.status for step in each.steps] for each in (self.timeline, timeline))
        statuses = [*(old + old[-1:] * self.polls)[: self.polls], *(new[self.polls :] or new[-1:])]
        return replace(self, timeline=Timeline(tuple(Step(status, float(i)) for i, status in enumerate(statuses))))

    def booked(self, now: float, lifecycle: Lifecycle, when: str) -> bool:
        """Is the price booked at `now`, where the service books `when`: "on creation" or "on success"?"""
        return when == "on creation" or lifecycle.succeeded(self.status(now))

    def void(self, now: float, lifecycle: Lifecycle, when: str) -> bool:
        """Is it certain at `now` that the price will never be booked?"""
        return when != "on creation" and lifecycle.failed(self.status(now))


class Generations:
    """The newest generations, at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._by_id: OrderedDict[str, Generation] = OrderedDict()
        self._ids_by_video: dict[str, str] = {}
        self._store: Store | None = None
        self.by_id: Mapping[str, Generation] = MappingProxyType(self._by_id)
        """Those that are remembered, oldest first."""

    def keep_in(self, store: Store) -> None:
        """Remember those that a store has, and keep there whatever happens from now on."""
        self._store = store
        for generation in store.generations():
            self._remember(generation)

    def put(self, generation: Generation) -> None:
        """Remember a new one, or a known one as it is now, and let the oldest go when there are too many."""
        if self._store is not None:  # first: what is not kept must not be seen
            self._store.put(generation)
        self._remember(generation)

    def count_poll(self, generation: Generation) -> None:
        """Note that a poll was answered, of a generation that goes by them."""
        if generation.polls is not None:
            self.put(replace(generation, polls=generation.polls + 1))

    def with_video_at(self, path: str) -> Generation | None:
        """Return the generation whose video is at a path, None when there is none."""
        found = self._ids_by_video.get(path)
        return None if found is None else self._by_id[found]

    def clear(self) -> None:
        """Forget all of them."""
        if self._store is not None:
            self._store.clear()
        self._by_id.clear()
        self._ids_by_video.clear()

    def _remember(self, generation: Generation) -> None:
        self._by_id[generation.id] = generation
        self._ids_by_video[generation.video_path] = generation.id
        while len(self._by_id) > self._limit:
            _, oldest = self._by_id.popitem(last=False)
            del self._ids_by_video[oldest.video_path]
            if self._store is not None:
                self._store.forget(oldest.id)
