"""The purpose of a text in a payload, as far as its schema says it in words."""

from __future__ import annotations

import re
from typing import Literal

from kling_contract.schema_values.rules import ResolvedSchema

__all__ = ["Purpose", "purpose"]

Purpose = Literal["picture", "sound", "film", "name", "negative_prompt", "scene"]


def purpose(rules: ResolvedSchema) -> Purpose:
    """Return what a text is for: a link to a picture, a sound or a film, a name, or a prompt.

    `rules` is a resolved schema that has kept its description.
    """
    described = rules.get("description", "").lower()
    if re.search(r"\blink to a sound\b", described):
        return "sound"
    if re.search(r"\blink to a video\b", described):
        return "film"
    if rules.get("format") == "uri" or re.search(r"\b(image|images|frame|link)\b", described):
        return "picture"
    if re.search(r"\b(name|id)\b", described):
        return "name"
    return "negative_prompt" if re.search(r"\bnot\b", described) else "scene"
