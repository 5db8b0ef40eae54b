"""A device runner that answers on the kernels of ARM CPUs, in emulation: answers and errors, never a time."""
