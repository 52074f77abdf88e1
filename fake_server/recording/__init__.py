"""Traffic with the real service: recorded, judged and replayed."""
