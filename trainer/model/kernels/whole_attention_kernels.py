"""Triton kernels of location-sensitive attention with one program for each utterance, which walks over its tokens.

They replace the pairs of `attention_kernels`, `energies` with `context` and `weights_backward` with
`energies_backward`, by one launch each. What is said there holds here.
"""

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from trainer.model.kernels.lstm_kernels import sigmoid


@triton.jit(do_not_specialize=["t", "batch", "tokens"])
def attend(
    partial,  # (P, B, A) float32: the query, in parts
    projected,  # (B, N, A)
    values,  # (B, N, E)
    padding,  # (B, N) float32: 0 or -inf
    location,  # (A, 2K) float32
    energy,  # (A,) float32
    trace,  # (T + 1, B, 2, N) float32: row t is read, row t + 1 written
    queries,  # (T, B, A) float32: row t is written
    state,  # (T + 1, B, S): the last E columns of row t + 1 are written
    scratch,  # (B, N) float32
    t,
    batch,
    tokens,
    P: tl.constexpr,
    H: tl.constexpr,
    E: tl.constexpr,
    A: tl.constexpr,
    K: tl.constexpr,
    BP: tl.constexpr,
    BN: tl.constexpr,
    BT: tl.constexpr,
    BA: tl.constexpr,
    BC: tl.constexpr,
    BE: tl.constexpr,
    PRECISION: tl.constexpr,
    STAGES: tl.constexpr,
    PDL: tl.constexpr,
):
    """Grid (B,). Energies by chunks of BN tokens, their softmax as it goes, and the context.

    Before the wait: the location and energy weights.
    """
    b = tl.program_id(0)
    row = t.to(tl.int64) * batch + b
    aa = tl.arange(0, BA)
    cc = tl.arange(0, BC)
    ee = tl.arange(0, BE)
    ps = tl.arange(0, BP)
    located = (aa[None, :] < A) & (cc[:, None] < 2 * K)
    kernel = tl.load(location + aa[None, :] * (2 * K) + cc[:, None], mask=located, other=0.0)
    v = tl.load(energy + aa, mask=aa < A, other=0.0)
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    parts_at = partial + (ps[:, None] * batch + b) * A + aa[None, :]
    q = tl.sum(tl.load(parts_at, mask=(ps[:, None] < P) & (aa[None, :] < A), other=0.0), 0)
    tl.store(queries + row * A + aa, q, mask=aa < A)
    before = trace + row * 2 * tokens
    after = before + batch * 2 * tokens
    shift = cc % K - K // 2
    column = (cc // K) * tokens + shift
    biggest = float("-inf")
    total = 0.0
    weighted = tl.zeros((BN, BE), tl.float32)
    for n in tl.range(0, tokens, BN, num_stages=STAGES):
        nn = n + tl.arange(0, BN)
        there = nn < tokens
        source = nn[:, None] + shift[None, :]
        seen = (source >= 0) & (source < tokens) & (cc[None, :] < 2 * K)
        windows = tl.load(before + nn[:, None] + column[None, :], mask=seen, other=0.0)
        at = (b * tokens + nn)[:, None]
        keys = tl.load(projected + at * A + aa[None, :], mask=there[:, None] & (aa[None, :] < A), other=0.0)
        contents = tl.load(values + at * E + ee[None, :], mask=there[:, None] & (ee[None, :] < E), other=0.0)
        z = tl.dot(windows, kernel, input_precision=PRECISION) + keys.to(tl.float32) + q[None, :]
        e = tl.sum(sigmoid(z) * v[None, :], 1)
        e += tl.load(padding + b * tokens + nn, mask=there, other=float("-inf"))
        tl.store(scratch + b * tokens + nn, e, mask=there)
        bigger = tl.maximum(biggest, tl.max(e, 0))
        scale = tl.exp(biggest - bigger)
        p = tl.exp(e - bigger)
        total = total * scale + tl.sum(p, 0)
        weighted = weighted * scale + p[:, None] * contents.to(tl.float32)
        biggest = bigger
    tl.debug_barrier()
    every = tl.arange(0, BT)
    e = tl.load(scratch + b * tokens + every, mask=every < tokens, other=float("-inf"))
    weights = tl.exp(e - biggest) / total
    cumulative = tl.load(before + tokens + every, mask=every < tokens, other=0.0) + weights
    tl.store(after + every, weights, mask=every < tokens)
    tl.store(after + tokens + every, cumulative, mask=every < tokens)
    tl.store(state + (row + batch) * (H + E) + H + ee, tl.sum(weighted, 0) / total, mask=ee < E)


@triton.jit(do_not_specialize=["t", "batch", "tokens"])
def attend_backward(
    dstate,  # (T, B, S) gradients of the outputs
    dpartial,  # (SPLITS, B, S) float32: gradients of this step's state by the step after it, in parts
    dweights,  # (T, B, N) gradients of the outputs
    projected,  # (B, N, A)
    values,  # (B, N, E)
    location,  # (A, 2K) float32
    energy,  # (A,) float32
    trace,  # (T + 1, B, 2, N) float32
    queries,  # (T, B, A) float32
    dwindows,  # (2, B, N, BC) float32: of steps t + 1 (read) and t (written), by parity of the step
    dcumulative,  # (2, B, N) float32: likewise
    dcontext,  # (T, B, E) float32: row t is written
    denergies,  # (T, B, N) float32: row t is written
    dqueries,  # (1, B, A) float32, written
    scratch,  # (B, N) float32
    t,
    batch,
    tokens,
    SPLITS: tl.constexpr,
    H: tl.constexpr,
    E: tl.constexpr,
    A: tl.constexpr,
    K: tl.constexpr,
    BN: tl.constexpr,
    BA: tl.constexpr,
    BC: tl.constexpr,
    BE: tl.constexpr,
    DWEIGHTS: tl.constexpr,
    PRECISION: tl.constexpr,
    STAGES: tl.constexpr,
    PDL: tl.constexpr,
):
    """Grid (B,). Before the wait: nothing."""
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    b = tl.program_id(0)
    row = t.to(tl.int64) * batch + b
    S: tl.constexpr = H + E
    aa = tl.arange(0, BA)
    cc = tl.arange(0, BC)
    ee = tl.arange(0, BE)
    dc = tl.load(dstate + row * S + H + ee, mask=ee < E, other=0.0).to(tl.float32)
    for s in tl.static_range(SPLITS):
        dc += tl.load(dpartial + (s * batch + b) * S + H + ee, mask=ee < E, other=0.0)
    tl.store(dcontext + row * E + ee, dc, mask=ee < E)
    shift = cc % K - K // 2
    before = trace + row * 2 * tokens
    after = before + batch * 2 * tokens
    now = (t % 2) * batch + b
    then = ((t + 1) % 2) * batch + b
    total = 0.0
    for n in tl.range(0, tokens, BN, num_stages=STAGES):
        nn = n + tl.arange(0, BN)
        there = nn < tokens
        contents_at = values + (b * tokens + nn)[:, None] * E + ee[None, :]
        contents = tl.load(contents_at, mask=there[:, None] & (ee[None, :] < E), other=0.0)
        source = nn[:, None] - shift[None, :]  # whose window at step t + 1 has token nn at column cc
        seen = there[:, None] & (source >= 0) & (source < tokens) & (cc[None, :] < 2 * K)
        back = tl.load(dwindows + (then * tokens + source) * BC + cc[None, :], mask=seen, other=0.0)
        cumulated = tl.load(dcumulative + then * tokens + nn, mask=there, other=0.0)
        cumulated += tl.sum(tl.where(cc[None, :] >= K, back, 0.0), 1)
        tl.store(dcumulative + now * tokens + nn, cumulated, mask=there)
        dw = tl.sum(contents.to(tl.float32) * dc[None, :], 1) + cumulated
        dw += tl.sum(tl.where(cc[None, :] < K, back, 0.0), 1)
        if DWEIGHTS:
            dw += tl.load(dweights + row * tokens + nn, mask=there, other=0.0).to(tl.float32)
        tl.store(scratch + b * tokens + nn, dw, mask=there)
        total += tl.sum(dw * tl.load(after + nn, mask=there, other=0.0), 0)
    located = (aa[None, :] < A) & (cc[:, None] < 2 * K)
    kernel = tl.load(location + aa[None, :] * (2 * K) + cc[:, None], mask=located, other=0.0)
    located = (aa[:, None] < A) & (cc[None, :] < 2 * K)
    transposed = tl.load(location + aa[:, None] * (2 * K) + cc[None, :], mask=located, other=0.0)
    v = tl.load(energy + aa, mask=aa < A, other=0.0)
    q = tl.load(queries + row * A + aa, mask=aa < A, other=0.0)
    column = (cc // K) * tokens + shift
    dq = tl.zeros((BN, BA), tl.float32)
    tl.debug_barrier()
    for n in tl.range(0, tokens, BN, num_stages=STAGES):
        nn = n + tl.arange(0, BN)
        there = nn < tokens
        source = nn[:, None] + shift[None, :]
        seen = (source >= 0) & (source < tokens) & (cc[None, :] < 2 * K)
        windows = tl.load(before + nn[:, None] + column[None, :], mask=seen, other=0.0)
        keys_at = projected + (b * tokens + nn)[:, None] * A + aa[None, :]
        keys = tl.load(keys_at, mask=there[:, None] & (aa[None, :] < A), other=0.0)
        dw = tl.load(scratch + b * tokens + nn, mask=there, other=0.0)
        de = tl.load(after + nn, mask=there, other=0.0) * (dw - total)
        tl.store(denergies + row * tokens + nn, de, mask=there)
        z = tl.dot(windows, kernel, input_precision=PRECISION) + keys.to(tl.float32) + q[None, :]
        active = sigmoid(z)
        dz = de[:, None] * (active * (1 - active) * v[None, :])
        dq += dz
        dwindow = tl.dot(dz, transposed, input_precision=PRECISION)
        tl.store(dwindows + (now * tokens + nn)[:, None] * BC + cc[None, :], dwindow, mask=there[:, None])
    tl.store(dqueries + b * A + aa, tl.sum(dq, 0), mask=aa < A)
