"""CUDA kernels of our own, on a GPU through CuPy or on a CPU through an emulator that runs the same sources.

runtime.py      what launch code is written against: functions, arrays, captured launches
instances/      every kernel that can be launched, with its threads and shared memory
source.py       how the .cu files are read
ops/            the operations on these kernels: which kernel, which grid, which memory
emulator/       the runtime on a CPU
"""
