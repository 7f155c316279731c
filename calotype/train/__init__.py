"""Data, losses, schedules, the training loop."""
