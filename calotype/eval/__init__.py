"""Metrics, BD-rate, anchors."""
