"""Pictures in some thousands of bits: few indices of a finite scalar quantiser at two scales, decoded by one stack of layers."""
