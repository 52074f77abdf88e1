"""How fast is drawing? Strategies built from the documents, held against one that a person would write for this schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from kling_contract.schema_values.formats import png_data_uri
from kling_contract.strategies import invalid_requests, valid_requests
from tests.benchmarks.conftest import Compare

EXAMPLES = 100

# Fields by name, for once: this is what the documents save a person from writing.
_IMAGES = st.one_of(
    st.builds(
        "https://{}/{}.png".format,
        st.sampled_from(["example.com", "example.org"]),
        st.from_regex(r"[a-z0-9-]+", fullmatch=True),
    ),
    st.builds(lambda width, height: png_data_uri(width, height, (0, 0, 0)), st.integers(1, 4), st.integers(1, 4)),
)
_POINTS = st.fixed_dictionaries({"x": st.integers(), "y": st.integers()})
_SHAPES = st.sampled_from(["16:9", "9:16", "1:1"])
BY_HAND = st.fixed_dictionaries(
    {"model": st.just("kling-video/v1/pro/image-to-video"), "image_url": _IMAGES, "prompt": st.text()},
    optional={
        "tail_image_url": _IMAGES,
        "static_mask_url": _IMAGES,
        "dynamic_masks": st.lists(
            st.fixed_dictionaries({"mask_url": _IMAGES}, optional={"trajectories": st.lists(_POINTS)})
        ),
        "ratio": _SHAPES,
        "aspect_ratio": _SHAPES,
        "duration": st.sampled_from([5, 10]),
        "negative_prompt": st.text(),
        "cfg_scale": st.floats(0, 1),
    },
)


def _drawing(strategy: SearchStrategy[Any]) -> Callable[[], None]:
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(_: Any) -> None:
        pass

    return draw


def test_valid_requests(compare: Compare) -> None:
    """Valid payloads are drawn as fast as by a strategy written by hand."""
    assert compare(_drawing(valid_requests()), _drawing(BY_HAND)) <= 1


def test_invalid_requests(compare: Compare) -> None:
    """Payloads with a single violation are drawn as fast as valid ones by a strategy written by hand."""
    assert compare(_drawing(invalid_requests()), _drawing(BY_HAND)) <= 1
