"""Fused kernels of the recurrences, written in Triton, for NVIDIA's cards.

A step of torch's operations is 19 launches forward and 24 back; here it is 3 and 4, or 2 and 3, which as a graph run as
fast as the card starts them. `choice` says where they are used. Only `tapes`, `fused_lstm` and the kernels
import Triton.
"""
