"""Block motion: fields of vectors, their search, the compensated prediction in exact integers, and their coding."""
