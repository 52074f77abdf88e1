"""One generation of the fake: when it began and how it goes. Its status is asked for, never set."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from kling_contract.lifecycle import Lifecycle, Timeline

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
        self.by_id: Mapping[str, Generation] = MappingProxyType(self._by_id)
        """Those that are remembered, oldest first."""

    def add(self, generation: Generation) -> None:
        """Remember one, and let the oldest go when there are too many."""
        self._by_id[generation.id] = generation
        self._ids_by_video[generation.video_path] = generation.id
        while len(self._by_id) > self._limit:
            _, oldest = self._by_id.popitem(last=False)
            del self._ids_by_video[oldest.video_path]

    def count_poll(self, generation: Generation) -> None:
        """Note that a poll was answered, of a generation that goes by them."""
        if generation.polls is not None:
            self._by_id[generation.id] = replace(generation, polls=generation.polls + 1)

    def with_video_at(self, path: str) -> Generation | None:
        """Return the generation whose video is at a path, None when there is none."""
        found = self._ids_by_video.get(path)
        return None if found is None else self._by_id[found]

    def clear(self) -> None:
        """Forget all of them."""
        self._by_id.clear()
        self._ids_by_video.clear()
