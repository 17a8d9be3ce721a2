"""Without a GPU, Triton's interpreter runs the kernels on the CPU."""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported, which only these tests do
