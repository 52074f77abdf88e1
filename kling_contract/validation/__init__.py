"""What is wrong with a payload, a request or a response."""

from kling_contract.validation.creates import validate, validator_for
from kling_contract.validation.messages import check_request, check_response
from kling_contract.validation.validator import Validator
from kling_contract.violation import Severity, Strictness, Violation

__all__ = [
    "Severity",
    "Strictness",
    "Validator",
    "Violation",
    "check_request",
    "check_response",
    "validate",
    "validator_for",
]
