"""Which claims does the contract make, and what does each need? A claim is a function: it returns when a server keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kling_contract.checks.creation_claims import (
    claim_every_path_leads_there,
    claim_generations_are_created,
    claim_ids_are_taken_whole,
    claim_ids_are_their_own,
    claim_media_type_may_have_parameters,
    claim_undeclared_members_are_taken,
    claim_valid_payloads_are_accepted,
)
from kling_contract.checks.lifecycle_claims import (
    claim_answers_fit,
    claim_failures_are_told,
    claim_generations_are_independent,
    claim_reading_changes_nothing,
    claim_refusals_change_nothing,
    claim_statuses_go_forward,
    claim_success_costs_its_price,
    claim_videos_can_be_had,
)
from kling_contract.checks.refusal_claims import (
    claim_bad_json_is_refused,
    claim_broken_payloads_are_refused,
    claim_key_is_needed,
    claim_media_type_is_needed,
    claim_other_keys_are_refused,
    claim_other_methods_are_refused,
    claim_other_paths_are_unknown,
    claim_polls_need_an_id,
    claim_refusals_are_well_formed,
    claim_refusals_cost_nothing,
    claim_unknown_ids_are_refused,
)
from kling_contract.checks.target import Target

__all__ = ["CLAIMS", "FREE", "PAID", "Claim", "applies"]

Claim = Callable[[Target], None]
"""Its docstring is the claim, in one sentence. It raises ContractBroken when the target does not keep it."""

FREE: tuple[Claim, ...] = (
    claim_key_is_needed,
    claim_other_keys_are_refused,
    claim_broken_payloads_are_refused,
    claim_bad_json_is_refused,
    claim_media_type_is_needed,
    claim_unknown_ids_are_refused,
    claim_polls_need_an_id,
    claim_other_paths_are_unknown,
    claim_other_methods_are_refused,
    claim_refusals_are_well_formed,
    claim_refusals_cost_nothing,
)
"""Claims about refusals: a server that keeps them creates nothing, so that they cost nothing."""

PAID: tuple[Claim, ...] = (
    claim_generations_are_created,
    claim_valid_payloads_are_accepted,
    claim_undeclared_members_are_taken,
    claim_media_type_may_have_parameters,
    claim_every_path_leads_there,
    claim_ids_are_their_own,
    claim_ids_are_taken_whole,
    claim_statuses_go_forward,
    claim_answers_fit,
    claim_reading_changes_nothing,
    claim_refusals_change_nothing,
    claim_generations_are_independent,
    claim_videos_can_be_had,
    claim_success_costs_its_price,
    claim_failures_are_told,
)
"""Claims that create generations, which the true service bills."""

CLAIMS = (*FREE, *PAID)

_NEEDS: Mapping[Claim, str] = {
    claim_refusals_cost_nothing: "spent",
    claim_success_costs_its_price: "spent",
    claim_failures_are_told: "play",
}


def applies(claim: Claim, target: Target) -> bool:
    """Does the target have what the claim looks at?"""
    return claim not in _NEEDS or getattr(target, _NEEDS[claim]) is not None
