"""Clips to streams and back: media files in and out, colour, the video codec."""
