"""Triton kernels of location-sensitive attention, forward and backward: several programs for each utterance.

A step forward is `lstm_forward`, `energies`, `context`; a step back `weights_backward`, `energies_backward`,
`lstm_backward`, `product_backward`. Activations (T, B, N, A) are never stored: `energies_backward` computes a step's
again, and behind the loop `attention_gradients` those of all steps once more, for the weights' gradients.

What holds for `lstm_kernels` holds here. `trace` has the attention weights and their sums over the steps so far; its
row t is what step t sees. `scratch` is what the first of two kernels passes to the second.

Shapes: T steps, B batch, N tokens, H hidden width, E memory width, A attention width, K location kernel, P parts of
the query, S = H + E. Tiles: BN tokens, BE columns of the memory; BP, BT, BA, BC = P, N, A, 2K rounded up.
"""

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from trainer.model.kernels.lstm_kernels import sigmoid


@triton.jit(do_not_specialize=["t", "batch", "tokens"])
def energies(
    partial,  # (P, B, A) float32: the query, in parts
    projected,  # (B, N, A)
    padding,  # (B, N) float32: 0 or -inf
    location,  # (A, 2K) float32
    energy,  # (A,) float32
    trace,  # (T + 1, B, 2, N) float32: row t is read
    queries,  # (T, B, A) float32: row t is written
    scratch,  # (B, N) float32, written: energies
    t,
    batch,
    tokens,
    P: tl.constexpr,
    A: tl.constexpr,
    K: tl.constexpr,
    BP: tl.constexpr,
    BN: tl.constexpr,
    BA: tl.constexpr,
    BC: tl.constexpr,
    PRECISION: tl.constexpr,
    PDL: tl.constexpr,
):
    """Grid (N / BN, B): a program owns the energies of BN tokens. Before the wait: the memory and the weights."""
    b = tl.program_id(1)
    row = t.to(tl.int64) * batch + b
    nn = tl.program_id(0) * BN + tl.arange(0, BN)
    there = nn < tokens
    aa = tl.arange(0, BA)
    cc = tl.arange(0, BC)
    ps = tl.arange(0, BP)
    located = (aa[None, :] < A) & (cc[:, None] < 2 * K)
    kernel = tl.load(location + aa[None, :] * (2 * K) + cc[:, None], mask=located, other=0.0)
    v = tl.load(energy + aa, mask=aa < A, other=0.0)
    keys_at = projected + (b * tokens + nn)[:, None] * A + aa[None, :]
    keys = tl.load(keys_at, mask=there[:, None] & (aa[None, :] < A), other=0.0)
    hidden = tl.load(padding + b * tokens + nn, mask=there, other=float("-inf"))
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    shift = cc % K - K // 2
    source = nn[:, None] + shift[None, :]
    seen = (source >= 0) & (source < tokens) & (cc[None, :] < 2 * K)
    windows_at = trace + row * 2 * tokens + nn[:, None] + ((cc // K) * tokens + shift)[None, :]
    windows = tl.load(windows_at, mask=seen, other=0.0)
    parts_at = partial + (ps[:, None] * batch + b) * A + aa[None, :]
    q = tl.sum(tl.load(parts_at, mask=(ps[:, None] < P) & (aa[None, :] < A), other=0.0), 0)
    if tl.program_id(0) == 0:
        tl.store(queries + row * A + aa, q, mask=aa < A)
    z = tl.dot(windows, kernel, input_precision=PRECISION) + keys.to(tl.float32) + q[None, :]
    e = tl.sum(sigmoid(z) * v[None, :], 1) + hidden
    tl.store(scratch + b * tokens + nn, e, mask=there)


@triton.jit(do_not_specialize=["t", "batch", "tokens"])
def context(
    values,  # (B, N, E)
    trace,  # (T + 1, B, 2, N) float32: row t is read, row t + 1 written
    state,  # (T + 1, B, S): the last E columns of row t + 1 are written
    scratch,  # (B, N) float32: energies
    t,
    batch,
    tokens,
    H: tl.constexpr,
    E: tl.constexpr,
    BN: tl.constexpr,
    BT: tl.constexpr,
    BE: tl.constexpr,
    PDL: tl.constexpr,
):
    """Grid (E / BE, B): a program owns BE columns of the context; each computes the softmax of all tokens."""
    b = tl.program_id(1)
    row = t.to(tl.int64) * batch + b
    ee = tl.program_id(0) * BE + tl.arange(0, BE)
    values += b * tokens * E
    scratch += b * tokens
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    every = tl.arange(0, BT)
    e = tl.load(scratch + every, mask=every < tokens, other=float("-inf"))
    biggest = tl.max(e, 0)
    e = tl.exp(e - biggest)
    total = tl.sum(e, 0)
    if tl.program_id(0) == 0:
        before = trace + row * 2 * tokens
        after = before + batch * 2 * tokens
        weights = e / total
        cumulative = tl.load(before + tokens + every, mask=every < tokens, other=0.0) + weights
        tl.store(after + every, weights, mask=every < tokens)
        tl.store(after + tokens + every, cumulative, mask=every < tokens)
    weighted = tl.zeros((BN, BE), tl.float32)
    for n in tl.range(0, tokens, BN):
        nn = n + tl.arange(0, BN)
        p = tl.exp(tl.load(scratch + nn, mask=nn < tokens, other=float("-inf")) - biggest)
        at = values + nn[:, None] * E + ee[None, :]
        weighted += p[:, None] * tl.load(at, mask=(nn[:, None] < tokens) & (ee[None, :] < E), other=0.0).to(tl.float32)
    tl.store(state + (row + batch) * (H + E) + H + ee, tl.sum(weighted, 0) / total, mask=ee < E)


@triton.jit(do_not_specialize=["t", "batch", "tokens"])
def weights_backward(
    dstate,  # (T, B, S) gradients of the outputs
    dpartial,  # (SPLITS, B, S) float32: gradients of this step's state by the step after it, in parts
    dweights,  # (T, B, N) gradients of the outputs
    values,  # (B, N, E)
    dwindows,  # (2, B, N, BC) float32: of step t + 1, by parity of the step, is read
    dcumulative,  # (2, B, N) float32: likewise; of step t is written
    dcontext,  # (T, B, E) float32: row t is written
    scratch,  # (B, N) float32, written: gradients of the weights
    t,
    batch,
    tokens,
    SPLITS: tl.constexpr,
    H: tl.constexpr,
    E: tl.constexpr,
    K: tl.constexpr,
    BN: tl.constexpr,
    BC: tl.constexpr,
    BE: tl.constexpr,
    DWEIGHTS: tl.constexpr,
    PDL: tl.constexpr,
):
    """Grid (N / BN, B): a program owns the weights of BN tokens. Before the wait: the memory."""
    b = tl.program_id(1)
    row = t.to(tl.int64) * batch + b
    S: tl.constexpr = H + E
    nn = tl.program_id(0) * BN + tl.arange(0, BN)
    there = nn < tokens
    cc = tl.arange(0, BC)
    ee = tl.arange(0, BE)
    contents_at = values + (b * tokens + nn)[:, None] * E + ee[None, :]
    contents = tl.load(contents_at, mask=there[:, None] & (ee[None, :] < E), other=0.0)
    now = (t % 2) * batch + b
    then = ((t + 1) % 2) * batch + b
    source = nn[:, None] - (cc % K - K // 2)[None, :]  # whose window at step t + 1 has token nn at column cc
    seen = there[:, None] & (source >= 0) & (source < tokens) & (cc[None, :] < 2 * K)
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    back = tl.load(dwindows + (then * tokens + source) * BC + cc[None, :], mask=seen, other=0.0)
    cumulated = tl.load(dcumulative + then * tokens + nn, mask=there, other=0.0)
    dc = tl.load(dstate + row * S + H + ee, mask=ee < E, other=0.0).to(tl.float32)
    for s in tl.static_range(SPLITS):
        dc += tl.load(dpartial + (s * batch + b) * S + H + ee, mask=ee < E, other=0.0)
    if tl.program_id(0) == 0:
        tl.store(dcontext + row * E + ee, dc, mask=ee < E)
    cumulated += tl.sum(tl.where(cc[None, :] >= K, back, 0.0), 1)
    tl.store(dcumulative + now * tokens + nn, cumulated, mask=there)
    dw = tl.sum(contents.to(tl.float32) * dc[None, :], 1) + cumulated
    dw += tl.sum(tl.where(cc[None, :] < K, back, 0.0), 1)
    if DWEIGHTS:
        dw += tl.load(dweights + row * tokens + nn, mask=there, other=0.0).to(tl.float32)
    tl.store(scratch + b * tokens + nn, dw, mask=there)


@triton.jit(do_not_specialize=["t", "batch", "tokens"])
def energies_backward(
    projected,  # (B, N, A)
    location,  # (A, 2K) float32
    energy,  # (A,) float32
    trace,  # (T + 1, B, 2, N) float32
    queries,  # (T, B, A) float32
    scratch,  # (B, N) float32: gradients of the weights
    dwindows,  # (2, B, N, BC) float32: of step t, by parity of the step, is written
    denergies,  # (T, B, N) float32: row t is written
    dqueries,  # (N / BN, B, A) float32, written: gradients of the query, in parts
    t,
    batch,
    tokens,
    A: tl.constexpr,
    K: tl.constexpr,
    BN: tl.constexpr,
    BT: tl.constexpr,
    BA: tl.constexpr,
    BC: tl.constexpr,
    PRECISION: tl.constexpr,
    PDL: tl.constexpr,
):
    """Grid (N / BN, B): a program owns BN tokens. Before the wait: all but the gradients of the weights."""
    b = tl.program_id(1)
    row = t.to(tl.int64) * batch + b
    nn = tl.program_id(0) * BN + tl.arange(0, BN)
    there = nn < tokens
    aa = tl.arange(0, BA)
    cc = tl.arange(0, BC)
    every = tl.arange(0, BT)
    located = (aa[None, :] < A) & (cc[:, None] < 2 * K)
    kernel = tl.load(location + aa[None, :] * (2 * K) + cc[:, None], mask=located, other=0.0)
    located = (aa[:, None] < A) & (cc[None, :] < 2 * K)
    transposed = tl.load(location + aa[:, None] * (2 * K) + cc[None, :], mask=located, other=0.0)
    v = tl.load(energy + aa, mask=aa < A, other=0.0)
    q = tl.load(queries + row * A + aa, mask=aa < A, other=0.0)
    shift = cc % K - K // 2
    source = nn[:, None] + shift[None, :]
    seen = (source >= 0) & (source < tokens) & (cc[None, :] < 2 * K)
    before = trace + row * 2 * tokens
    after = before + batch * 2 * tokens
    windows = tl.load(before + nn[:, None] + ((cc // K) * tokens + shift)[None, :], mask=seen, other=0.0)
    keys_at = projected + (b * tokens + nn)[:, None] * A + aa[None, :]
    keys = tl.load(keys_at, mask=there[:, None] & (aa[None, :] < A), other=0.0)
    z = tl.dot(windows, kernel, input_precision=PRECISION) + keys.to(tl.float32) + q[None, :]
    active = sigmoid(z)
    slope = active * (1 - active) * v[None, :]
    weights = tl.load(after + every, mask=every < tokens, other=0.0)
    weight = tl.load(after + nn, mask=there, other=0.0)
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    total = tl.sum(weights * tl.load(scratch + b * tokens + every, mask=every < tokens, other=0.0), 0)
    de = weight * (tl.load(scratch + b * tokens + nn, mask=there, other=0.0) - total)
    tl.store(denergies + row * tokens + nn, de, mask=there)
    dz = de[:, None] * slope
    dwindow = tl.dot(dz, transposed, input_precision=PRECISION)
    now = (t % 2) * batch + b
    tl.store(dwindows + (now * tokens + nn)[:, None] * BC + cc[None, :], dwindow, mask=there[:, None])
    tl.store(dqueries + (tl.program_id(0) * batch + b) * A + aa, tl.sum(dz, 0), mask=aa < A)


@triton.jit(do_not_specialize=["steps", "batch", "tokens"])
def attention_gradients(
    projected,  # (B, N, A)
    location,  # (A, 2K) float32
    energy,  # (A,) float32
    queries,  # (T, B, A) float32
    trace,  # (T + 1, B, 2, N) float32
    denergies,  # (T, B, N) float32
    dprojected,  # (B, N, A) float32, written
    dlocation,  # (B * N / BN, A, BC) float32, written: in parts
    denergy,  # (B * N / BN, A) float32, written: in parts
    steps,
    batch,
    tokens,
    A: tl.constexpr,
    K: tl.constexpr,
    BN: tl.constexpr,
    BA: tl.constexpr,
    BC: tl.constexpr,
    PRECISION: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Grid (N / BN, B): a program owns BN tokens of one utterance, and sums over all steps."""
    b = tl.program_id(1)
    aa = tl.arange(0, BA)
    cc = tl.arange(0, BC)
    nn = tl.program_id(0) * BN + tl.arange(0, BN)
    there = nn < tokens
    located = (aa[None, :] < A) & (cc[:, None] < 2 * K)
    kernel = tl.load(location + aa[None, :] * (2 * K) + cc[:, None], mask=located, other=0.0)
    v = tl.load(energy + aa, mask=aa < A, other=0.0)
    keys_at = (b * tokens + nn)[:, None] * A + aa[None, :]
    keys = tl.load(projected + keys_at, mask=there[:, None] & (aa[None, :] < A), other=0.0).to(tl.float32)
    shift = cc % K - K // 2
    source = nn[:, None] + shift[None, :]
    seen = (source >= 0) & (source < tokens) & (cc[None, :] < 2 * K)
    window_at = nn[:, None] + ((cc // K) * tokens + shift)[None, :]
    dkeys = tl.zeros((BN, BA), tl.float32)
    dv = tl.zeros((BN, BA), tl.float32)
    dkernel = tl.zeros((BA, BC), tl.float32)
    trace += b * 2 * tokens
    queries += b * A
    denergies += b * tokens
    for _ in tl.range(0, steps, num_stages=STAGES):
        windows = tl.load(trace + window_at, mask=seen, other=0.0)
        q = tl.load(queries + aa, mask=aa < A, other=0.0)
        de = tl.load(denergies + nn, mask=there, other=0.0)
        z = tl.dot(windows, kernel, input_precision=PRECISION) + keys + q[None, :]
        active = sigmoid(z)
        da = de[:, None] * active
        dv += da
        dz = da * (1 - active) * v[None, :]
        dkeys += dz
        dkernel = tl.dot(tl.trans(dz), windows, dkernel, input_precision=PRECISION)
        trace += batch * 2 * tokens
        queries += batch * A
        denergies += batch * tokens
    tl.store(dprojected + keys_at, dkeys, mask=there[:, None] & (aa[None, :] < A))
    program = b * tl.num_programs(0) + tl.program_id(0)
    tl.store(dlocation + (program * A + aa[:, None]) * BC + cc[None, :], dkernel, mask=aa[:, None] < A)
    tl.store(denergy + program * A + aa, tl.sum(dv, 0), mask=aa < A)
