"""What the fake has seen: exchanges, without keys, as text and as HTTP Archive."""
