"""Traffic with the real service: recorded, validated and replayed."""
