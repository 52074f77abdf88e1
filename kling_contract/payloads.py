"""Payloads that look as if a person had written them, for demonstrations, logs and screenshots; and labelled samples."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

from faker.generator import Generator
from faker.providers import BaseProvider

from kling_contract.contract import Contract, chosen
from kling_contract.mutations import mutations
from kling_contract.schema_values.purposes import purpose
from kling_contract.schema_values.rules import ResolvedSchema, bounds, enum_values, is_valid, resolve, types
from kling_contract.validation import validate

__all__ = ["PromptProvider", "example", "samples"]


class PromptProvider(BaseProvider):
    """A Faker provider of prompts for a video model, and links to pictures. All of its texts are this project's own."""

    def subject(self) -> str:
        """Return the subject of a picture, such as "an old fisherman"."""
        return str(self.random_element(tuple(_SUBJECTS)))

    def scene(self, subject: str | None = None) -> str:
        """Return a prompt of one or two sentences about `subject`: one that `subject()` returns, or None for any."""
        subject = subject or self.subject()
        action = self.random_element(_SUBJECTS[subject])
        light, camera = self.random_element(_LIGHTS), self.random_element(_CAMERAS)
        style = self.random_element(_STYLES)
        sentences = self.random_element(
            (
                (f"{subject} {action}",),
                (f"{subject} {action}, {light}.", f"{camera}."),
                (f"{camera}: {subject} {action}, {light}.",),
                (f"{subject} {action}.", f"{light}, {camera}, {style}"),
            )
        )
        return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)

    def negative_prompt(self) -> str:
        """Return a negative prompt, such as "blur, extra fingers"."""
        return ", ".join(self.random_sample(_NEGATIVE_PROMPTS, length=self.random_int(2, 5)))

    def picture(self, subject: str | None = None) -> str:
        """Return a link to a picture of the subject, on a domain reserved for examples, so that it leads nowhere."""
        name = _dashed(subject or self.subject())
        host, folder = self.random_element(_HOSTS), self.random_element(_FOLDERS)
        return f"https://{host}/{folder}/{name}-{self.random_int(1, 999):03}.{self.random_element(_ENDINGS)}"


def example(
    seed: int = 0, *, contract: Contract | None = None, revision: str | None = None, model: str | None = None
) -> dict[str, Any]:
    """Return a valid payload of a create of `model` (None: the contract's).

    It is the same for the same seed and version of this package, on every machine.
    It has only declared members that are not deprecated, and breaks no guideline. The purpose of a text is read from its
    description in the schema.
    """
    known = chosen(contract, revision, model)
    generator = Generator()
    generator.seed_instance(seed)
    fake = PromptProvider(generator)
    rules = resolve(known.request_schema, keep=("description", "examples", "deprecated"))
    while True:
        payload: dict[str, Any] = _value(rules, fake, fake.subject())
        while broken := _warnings(payload, known):
            helpful = [
                name
                for name in payload
                if name not in rules["required"] and _warnings(_without(payload, name), known) < broken
            ]
            if not helpful:  # required members do not go together: all is drawn anew
                break
            payload = _without(payload, fake.random_element(tuple(helpful)))
        else:
            return payload


def samples(
    valid: int,
    invalid: int,
    seed: int = 0,
    *,
    contract: Contract | None = None,
    revision: str | None = None,
    model: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield `valid` valid samples, then `invalid` invalid ones, the same for the same seed and version of this package.

    Each is `{"payload": …, "valid": true or false, "violation": null or {"id", "pointer", "rule"}}`. The invalid ones use each
    of `mutations()` once, in an order that depends on the seed, before one is used again with another payload.
    """
    known = chosen(contract, revision, model)
    generator = random.Random(seed)
    for _ in range(valid):
        yield {"payload": example(generator.getrandbits(64), contract=known), "valid": True, "violation": None}
    catalogue = mutations(contract=known)
    rounds = chain.from_iterable(generator.sample(catalogue, len(catalogue)) for _ in repeat(None))
    for mutation, _ in zip(rounds, range(invalid), strict=False):
        broken = mutation.onto(example(generator.getrandbits(64), contract=known))
        violation = {"id": broken.id, "pointer": broken.pointer, "rule": broken.rule}
        yield {"payload": broken.payload, "valid": False, "violation": violation}


def _warnings(payload: dict[str, Any], contract: Contract) -> int:
    """Return how many things are wrong with a payload: all are guidelines that it breaks, since the schema allows it."""
    return len(validate(payload, contract=contract, strictness="strict"))


def _without(payload: dict[str, Any], name: str) -> dict[str, Any]:
    return {member: value for member, value in payload.items() if member != name}


def _value(rules: ResolvedSchema, fake: PromptProvider, subject: str) -> Any:
    if "anyOf" in rules:
        rules = fake.random_element(tuple(rules["anyOf"]))
    listed = enum_values(rules) or [value for value in rules.get("examples", ()) if is_valid(rules, value)]
    if listed:
        return fake.random_element(tuple(listed))
    match types(rules)[0]:
        case "object":
            members: dict[str, ResolvedSchema] = rules.get("properties", {})
            required = rules.get("required", ())
            return {
                name: _value(member, fake, subject)
                for name, member in members.items()
                if name in required or (not member.get("deprecated") and _is_present(member, fake))
            }
        case "array":
            least, most = rules.get("minItems", 1), rules.get("maxItems", 6)
            count = fake.random_int(least, min(most, least + 3))
            return [_value(rules.get("items", {}), fake, subject) for _ in range(count)]
        case "integer" | "number" as type_:
            low, high = bounds(rules, type_)
            low, high = 0 if low is None else low, 1000 if high is None else high
            if type_ == "integer":
                return fake.random_int(low, high)
            return round(low + (high - low) * fake.random_int(0, 20) / 20, 2)
        case "string":
            return _text(rules, fake, subject)
        case "boolean":
            return fake.random_element((False, True))
        case _:
            return None


def _text(rules: ResolvedSchema, fake: PromptProvider, subject: str) -> str:
    match purpose(rules):
        case "picture":
            return fake.picture(subject)
        case "sound" | "film" as kind:
            return f"{fake.picture(subject).rpartition('.')[0]}{'.mp3' if kind == 'sound' else '.mp4'}"
        case "name":
            return f"{_dashed(subject)}-{fake.random_int(1, 9999):04}"
        case "negative_prompt":
            return fake.negative_prompt()
        case _:
            return fake.scene(subject)


def _is_present(member: ResolvedSchema, fake: PromptProvider) -> bool:
    """Decide whether an optional member is present: a prompt always is, any other one time in three."""
    is_prompt = types(member)[0] == "string" and purpose(member) == "scene" and not enum_values(member)
    return is_prompt or fake.random_int(1, 3) == 1


def _dashed(words: str) -> str:
    return re.sub(r"\W+", "-", words)


_SUBJECTS = {
    "an old fisherman": ("mends a net and looks up", "pulls a rope hand over hand", "pours tea from a dented flask"),
    "a red fox": ("trots along a stone wall", "shakes the snow off its coat", "listens, then leaps into the grass"),
    "a paper boat": (
        "drifts down a gutter in the rain",
        "turns slowly in an eddy",
        "tips over the edge of a small fall",
    ),
    "a street musician": ("tunes a battered cello", "plays faster as people gather", "bows and picks up her hat"),
    "a sleeping cat": ("stretches and yawns", "twitches its ears at a fly", "slides off the windowsill"),
    "a lighthouse": ("sweeps its beam across the fog", "stands while waves climb its foot", "flickers and goes dark"),
    "a baker": ("lifts loaves from the oven", "throws flour into the light", "scores the dough with a razor"),
    "two children": ("race kites along the beach", "jump from puddle to puddle", "whisper behind a curtain"),
    "a steam train": ("crosses a viaduct", "waits under the station roof, breathing", "runs out of a tunnel"),
    "a hot-air balloon": ("rises out of the mist", "brushes the treetops", "fills slowly on the meadow"),
    "a potted fern": ("unrolls a new leaf", "sways as somebody walks past", "drips after watering"),
    "a night market": ("fills with steam and voices", "packs up as the rain begins", "lights its lanterns one by one"),
    "an astronaut": ("waters a tomato plant", "drifts past the window", "writes in a small notebook"),
    "a watchmaker": ("sets a wheel with tweezers", "holds a watch to his ear", "blows dust off the bench"),
    "a herd of goats": ("pours down the mountain road", "stares at a parked bicycle", "crosses a rope bridge"),
    "a glass of lemonade": ("beads with cold", "fills to the brim", "trembles as a lorry passes"),
}
_LIGHTS = (
    "early morning light", "golden hour", "an overcast sky", "neon reflections on wet asphalt", "candlelight",
    "hard noon sun", "moonlight through clouds", "light from a single window", "the blue hour", "stage fog, lit from behind",
)  # fmt: skip
_CAMERAS = (
    "slow push-in", "handheld, close", "wide shot, the camera does not move", "a long pan to the left", "seen from above",
    "low angle, tilting up", "the camera circles once", "macro shot, shallow focus", "tracking shot from the side",
)  # fmt: skip
_STYLES = ("35 mm film look", "soft colours", "documentary style", "slight grain", "natural motion", "high contrast")
_NEGATIVE_PROMPTS = (
    "blur", "extra fingers", "watermark", "text on the image", "flicker", "warped faces", "jerky camera", "low resolution",
    "doubled limbs", "washed-out colours", "cuts", "people in the background",
)  # fmt: skip
_HOSTS = ("images.example.com", "cdn.example.net", "photos.example.org", "example.com", "studio.example")
_FOLDERS = ("uploads", "2025/07", "stills", "drafts/final", "img")
_ENDINGS = ("png", "jpg", "jpeg", "webp")
