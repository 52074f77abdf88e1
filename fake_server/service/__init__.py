"""What the fake answers: creates, polls, videos and refusals."""
