"""The contract, held against the fake through every one of its doors."""
