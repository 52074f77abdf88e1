"""One generation of the fake: its data, and its status at any time, which follows from its timeline."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kling_contract.contract import Lifecycle, Step, Timeline

__all__ = ["FakeGeneration"]


@dataclass(frozen=True, slots=True)
class FakeGeneration:
    """What the fake keeps of a generation.

    `created_at` is in seconds since 1970 on the fake's clock, `revision` the one that validated the create, `duration` the
    seconds of video asked for, `ratio` its aspect ratio as asked for (None: it was not), `price` what it costs once booked
    (None: nobody knows), `video_url` where its video is on the documented host, `image_url` what was asked for, cut short.
    `polls` is how many polls were answered, for one that goes on a step with each of them; None for one that follows time.
    """

    id: str
    created_at: float
    timeline: Timeline
    revision: str
    model: str
    duration: float
    ratio: str | None
    price: float | None
    video_url: str
    image_url: str
    polls: int | None = None

    @property
    def video_path(self) -> str:
        """The path of `video_url`, on which any fake on any host serves the video."""
        return "/" + self.video_url.partition("?")[0].split("/", 3)[3]

    def video_url_on(self, origin: str | None) -> str:
        """Return the URL of the video for a client that reaches the fake at `origin` (None: at the documented host)."""
        return self.video_url if origin is None else f"{origin}/{self.video_url.split('/', 3)[3]}"

    def status(self, now: float) -> str:
        """Return the status that a poll at `now` shows."""
        if self.polls is None:
            return self.timeline.status_at(now - self.created_at)
        return self.timeline.steps[min(self.polls, len(self.timeline.steps) - 1)].status

    def rescheduled(self, now: float, timeline: Timeline) -> FakeGeneration:
        """Return it as it continues by another timeline from `now` on, as if it had had that one from the beginning.

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
        """Return whether the price is booked at `now`, if the service books it `when`: "on creation" or "on success"."""
        return when == "on creation" or lifecycle.succeeded(self.status(now))

    def void(self, now: float, lifecycle: Lifecycle, when: str) -> bool:
        """Return whether it is certain at `now` that the price will never be booked."""
        return when != "on creation" and lifecycle.failed(self.status(now))
