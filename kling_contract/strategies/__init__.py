"""Hypothesis strategies for valid and invalid requests, responses, timelines and scenarios."""

from kling_contract.strategies.drawing import matching
from kling_contract.strategies.requests import error_bodies, generations, invalid_requests, timelines, valid_requests
from kling_contract.strategies.scenarios import scenarios

__all__ = ["error_bodies", "generations", "invalid_requests", "matching", "scenarios", "timelines", "valid_requests"]
