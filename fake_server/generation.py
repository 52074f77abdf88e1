"""One generation of the fake: when it began and how it goes. Its status is asked for, never set."""

from __future__ import annotations

from dataclasses import dataclass

from kling_contract.lifecycle import Lifecycle, Timeline

__all__ = ["Generation"]


@dataclass(frozen=True, slots=True)
class Generation:
    """What the fake keeps of a generation.

    `created_at` is in seconds since 1970 on the fake's clock, `duration` the seconds of video asked for, `price` what it
    costs once booked, `video_url` where its video is on the documented host, `image_url` what was asked for, cut short.
    """

    id: str
    created_at: float
    timeline: Timeline
    model: str
    duration: float
    price: float
    video_url: str
    image_url: str

    @property
    def video_path(self) -> str:
        """The path of `video_url`, on which any fake on any host serves the video."""
        return "/" + self.video_url.partition("?")[0].split("/", 3)[3]

    def video_url_on(self, origin: str | None) -> str:
        """Return where the video is for whoever reaches the fake at `origin` (None: on the documented host)."""
        return self.video_url if origin is None else f"{origin}/{self.video_url.split('/', 3)[3]}"

    def status(self, now: float) -> str:
        """Return the status at `now`."""
        return self.timeline.status_at(now - self.created_at)

    def booked(self, now: float, lifecycle: Lifecycle, when: str) -> bool:
        """Is the price booked at `now`, where the service books `when`: "on creation" or "on success"?"""
        return when == "on creation" or lifecycle.succeeded(self.status(now))

    def void(self, now: float, lifecycle: Lifecycle, when: str) -> bool:
        """Is it certain at `now` that the price will never be booked?"""
        return when != "on creation" and lifecycle.failed(self.status(now))
