"""One thread to a test process, and to the processes it starts: `make test` runs as many of them as there are cores.

The networks here are too small to share out; two threads on two busy cores mostly wait for each other.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import torch

torch.set_num_threads(1)
