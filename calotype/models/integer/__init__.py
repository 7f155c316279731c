"""Exact integer execution: nets whose results are a function of their inputs alone, on every machine.

Activations are int16 numbers of at most 15 bits, weights int8 or two int8 halves, sums int32, requantisation one shift:
`layers.py` states the arithmetic and its bounds, `executions.py` lists what runs it. `prior.py` and `synthesis.py` are the
two nets of the image decoder; `convertprior.py` and `convert.py` make their integers from trained nets.
"""
