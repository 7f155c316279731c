"""Clips that carry their own networks: codec `inr-video`."""
