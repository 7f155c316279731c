"""Files to pixels and back: the .calo container and the codecs."""
