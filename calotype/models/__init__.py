"""Tensors to symbols and back: transforms, priors, exact integer execution, the zoo."""
