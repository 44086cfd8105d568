"""How fast minigan is, against what the machine can do and against others: `minigan bench`.

case        what is compared: a Case, its Contenders, and the check that all of them compute the same
timing      contenders in turn, with rests between them
ceilings    what the machine can do: multiply-adds a second, bytes a second
ladders, layers, steps    the cases
peers       the same networks in PyTorch and JAX, where these are installed
results     what was measured, as JSON
tables      and as tables
run         all of it together
"""
