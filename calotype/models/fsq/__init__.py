"""Pictures in some thousands of bits: indices of a finite scalar quantiser at two scales, decoded by a stack of layers."""
