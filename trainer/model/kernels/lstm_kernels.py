"""Triton kernels of an LSTM's step, forward and backward. What recurs may be wider than the hidden state.

No kernel adds atomically: equal inputs give equal bits. Within one launch no program reads what another one writes.

With `PDL` (programmatic dependent launch, capability 9.0) a kernel starts while the one before it still runs. Every
kernel waits for the one before (`gdc_wait`) and only then lets its successor start. So at a kernel's start all but the
one kernel before it have ended, and in front of the wait it may read whatever that one does not write. A kernel of
torch takes no part in this: the first kernel behind one must not read its output in front of the wait.

With `TMA` (capability 9.0) tiles of a product are loaded through tensor descriptors, whose reads beyond the tensor
are 0. Rows beyond the batch are then those of the next step: they only reach rows that are not stored.

Shapes: T steps, B batch, H hidden width, E memory width, A attention width, S = H + E (attention) or H (plain): what
recurs. Tiles: BM rows of the batch, BH hidden units, BK terms of a sum, BN columns, BA = A rounded up.
"""

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def sigmoid(x):
    return 1 / (1 + tl.exp(-x))


@triton.jit
def tanh(x):
    return 2 / (1 + tl.exp(-2 * x)) - 1


@triton.jit(do_not_specialize=["t", "batch"])
def lstm_forward(
    gates,  # (T, B, 4H) input products, in the order i, f, g, o; overwritten by the gates before their nonlinearities
    weight,  # (4H, S), row 4h + gate
    state,  # (T + 1, B, S): row t is read, the first H columns of row t + 1 are written
    cells,  # (T + 1, B, H) float32: row t is read, row t + 1 written
    keep,  # (T, B, H) dropout, a factor
    query,  # (A, H) float32
    partial,  # (H / BH, B, A) float32, written: what this program's units add to the query
    state_tiles,  # with TMA: descriptors of `state` as ((T + 1) * B, S), by (BM, BK), and of `weight`, by (4BH, BK)
    weight_tiles,
    t,
    batch,
    H: tl.constexpr,
    S: tl.constexpr,
    A: tl.constexpr,
    BM: tl.constexpr,
    BH: tl.constexpr,
    BK: tl.constexpr,
    BA: tl.constexpr,
    KEEP: tl.constexpr,
    QUERY: tl.constexpr,
    PRECISION: tl.constexpr,
    STAGES: tl.constexpr,
    TMA: tl.constexpr,
    PDL: tl.constexpr,
):
    """Step `t`. Grid (H / BH, B / BM): a program owns all four gates of BH hidden units of BM utterances.

    Before the wait: the gates and the dropout of step `t`, which only this program writes.
    """
    first = t.to(tl.int64) * batch  # this step's first row
    gates += first * (4 * H)
    cells += first * H
    hs = tl.program_id(0) * BH + tl.arange(0, BH)
    rows = tl.program_id(1) * BM + tl.arange(0, BM)
    inside = (rows[:, None] < batch) & (hs[None, :] < H)
    ks = tl.arange(0, BK)
    columns = tl.program_id(0) * (4 * BH) + tl.arange(0, 4 * BH)
    state_at = state + first * S + rows[:, None] * S + ks[None, :]
    weight_at = weight + columns[None, :] * S + ks[:, None]
    gate_at = gates + rows[:, None] * (4 * H) + hs[None, :]
    cell_at = cells + rows[:, None] * H + hs[None, :]
    # Asked for before the product, so that they are there after it:
    i = tl.load(gate_at, mask=inside, other=0.0)
    f = tl.load(gate_at + H, mask=inside, other=0.0)
    g = tl.load(gate_at + 2 * H, mask=inside, other=0.0)
    o = tl.load(gate_at + 3 * H, mask=inside, other=0.0)
    if KEEP:
        kept = tl.load(keep + first * H + rows[:, None] * H + hs[None, :], mask=inside, other=0.0)
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    cell = tl.load(cell_at, mask=inside, other=0.0)
    product = tl.zeros((BM, 4 * BH), tl.float32)
    for k in tl.range(0, S, BK, num_stages=STAGES):
        if TMA:
            x = state_tiles.load([t * batch + tl.program_id(1) * BM, k])
            w = weight_tiles.load([tl.program_id(0) * (4 * BH), k]).T
        elif S % BK == 0 and H % BH == 0:
            x = tl.load(state_at + k, mask=rows[:, None] < batch, other=0.0)
            w = tl.load(weight_at + k)
        else:
            x = tl.load(state_at + k, mask=(rows[:, None] < batch) & (k + ks[None, :] < S), other=0.0)
            w = tl.load(weight_at + k, mask=(columns[None, :] < 4 * H) & (k + ks[:, None] < S), other=0.0)
        product = tl.dot(x, w, product, input_precision=PRECISION)
    of_i_and_g, of_f_and_o = tl.split(tl.reshape(product, (BM, BH, 2, 2)))
    of_i, of_g = tl.split(of_i_and_g)
    of_f, of_o = tl.split(of_f_and_o)
    i = i.to(tl.float32) + of_i
    f = f.to(tl.float32) + of_f
    g = g.to(tl.float32) + of_g
    o = o.to(tl.float32) + of_o
    tl.store(gate_at, i, mask=inside)
    tl.store(gate_at + H, f, mask=inside)
    tl.store(gate_at + 2 * H, g, mask=inside)
    tl.store(gate_at + 3 * H, o, mask=inside)
    cell = sigmoid(f) * cell + sigmoid(i) * tanh(g)
    tl.store(cell_at + batch * H, cell, mask=inside)
    hidden = sigmoid(o) * tanh(cell)
    if KEEP:
        hidden = hidden * kept.to(tl.float32)
    tl.store(state + (first + batch) * S + rows[:, None] * S + hs[None, :], hidden, mask=inside)
    if QUERY:
        aa = tl.arange(0, BA)
        w = tl.load(query + aa[None, :] * H + hs[:, None], mask=(aa[None, :] < A) & (hs[:, None] < H), other=0.0)
        part = tl.dot(tl.where(inside, hidden, 0.0), w, input_precision=PRECISION)
        part_at = partial + (tl.program_id(0) * batch + rows)[:, None] * A + aa[None, :]
        tl.store(part_at, part, mask=(rows[:, None] < batch) & (aa[None, :] < A))


@triton.jit(do_not_specialize=["t", "batch", "chunks"])
def lstm_backward(
    dstate,  # (T, B, S) gradients of the outputs
    dpartial,  # (SPLITS, B, S) float32: gradients of this step's state by the step after it, in parts
    dqueries,  # (chunks, B, A) float32: gradients of this step's query, in parts
    dquery,  # (T, B, A) float32: row t is written, the sum of `dqueries`
    query,  # (A, H) float32
    gates,  # (T, B, 4H) before their nonlinearities; overwritten by their gradients
    cells,  # (T + 1, B, H) float32
    keep,  # (T, B, H)
    dcell,  # (B, H) float32, in place: from the step after to the step before
    chunks,
    t,
    batch,
    SPLITS: tl.constexpr,
    H: tl.constexpr,
    S: tl.constexpr,
    A: tl.constexpr,
    BM: tl.constexpr,
    BH: tl.constexpr,
    BA: tl.constexpr,
    KEEP: tl.constexpr,
    QUERY: tl.constexpr,
    PRECISION: tl.constexpr,
    PDL: tl.constexpr,
):
    """Step `t`. Grid (H / BH, B / BM): a program owns BH hidden units of BM utterances.

    Before the wait: what the forward pass and the caller gave, all that no other kernel of the backward pass writes.
    """
    first = t.to(tl.int64) * batch
    cells += first * H
    hs = tl.program_id(0) * BH + tl.arange(0, BH)
    rows = tl.program_id(1) * BM + tl.arange(0, BM)
    inside = (rows[:, None] < batch) & (hs[None, :] < H)
    at = rows[:, None] * H + hs[None, :]
    gate_at = gates + first * (4 * H) + rows[:, None] * (4 * H) + hs[None, :]
    i = tl.load(gate_at, mask=inside, other=0.0)
    f = tl.load(gate_at + H, mask=inside, other=0.0)
    g = tl.load(gate_at + 2 * H, mask=inside, other=0.0)
    o = tl.load(gate_at + 3 * H, mask=inside, other=0.0)
    before = tl.load(cells + at, mask=inside, other=0.0)
    cell = tl.load(cells + batch * H + at, mask=inside, other=0.0)
    dh = tl.load(dstate + first * S + rows[:, None] * S + hs[None, :], mask=inside, other=0.0).to(tl.float32)
    if KEEP:
        kept = tl.load(keep + first * H + at, mask=inside, other=0.0).to(tl.float32)
    if QUERY:
        aa = tl.arange(0, BA)
        w = tl.load(query + aa[:, None] * H + hs[None, :], mask=(aa[:, None] < A) & (hs[None, :] < H), other=0.0)
    i = sigmoid(i.to(tl.float32))
    f = sigmoid(f.to(tl.float32))
    g = tanh(g.to(tl.float32))
    o = sigmoid(o.to(tl.float32))
    squashed = tanh(cell)
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    dc = tl.load(dcell + at, mask=inside, other=0.0)
    for s in tl.static_range(SPLITS):
        dh += tl.load(dpartial + (s * batch + rows)[:, None] * S + hs[None, :], mask=inside, other=0.0)
    if QUERY:
        asked = (rows[:, None] < batch) & (aa[None, :] < A)
        dq = tl.zeros((BM, BA), tl.float32)
        for chunk in tl.range(0, chunks):
            dq += tl.load(dqueries + (chunk * batch + rows)[:, None] * A + aa[None, :], mask=asked, other=0.0)
        if tl.program_id(0) == 0:
            tl.store(dquery + first * A + rows[:, None] * A + aa[None, :], dq, mask=asked)
        dh = tl.dot(dq, w, dh, input_precision=PRECISION)
    if KEEP:
        dh *= kept
    dc += dh * o * (1 - squashed * squashed)
    tl.debug_barrier()  # a thread that holds a copy of an element may still read it
    tl.store(dcell + at, dc * f, mask=inside)
    tl.store(gate_at, dc * g * i * (1 - i), mask=inside)
    tl.store(gate_at + H, dc * before * f * (1 - f), mask=inside)
    tl.store(gate_at + 2 * H, dc * i * (1 - g * g), mask=inside)
    tl.store(gate_at + 3 * H, dh * squashed * o * (1 - o), mask=inside)


@triton.jit(do_not_specialize=["t", "batch"])
def product_backward(
    dgates,  # (T, B, 4H): row t is read
    weight,  # (4H, S), rows in the order of the gates
    dpartial,  # (SPLITS, B, S) float32, written: gradients of the state before, in parts of the sum over 4H
    dgates_tiles,  # with TMA: descriptors of `dgates` as (T * B, 4H), by (BM, BK), and of `weight`, by (BK, BN)
    weight_tiles,
    t,
    batch,
    H: tl.constexpr,
    S: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    LENGTH: tl.constexpr,  # of 4H, that one program sums over; a multiple of BK
    PRECISION: tl.constexpr,
    STAGES: tl.constexpr,
    TMA: tl.constexpr,
    PDL: tl.constexpr,
):
    """dgates @ weight. Grid (S / BN, B / BM, SPLITS). Before the wait: nothing."""
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    R: tl.constexpr = 4 * H
    columns = tl.program_id(0) * BN + tl.arange(0, BN)
    rows = tl.program_id(1) * BM + tl.arange(0, BM)
    begin = tl.program_id(2) * LENGTH
    ks = begin + tl.arange(0, BK)
    dgates_at = dgates + t.to(tl.int64) * batch * R + rows[:, None] * R + ks[None, :]
    weight_at = weight + ks[:, None] * S + columns[None, :]
    product = tl.zeros((BM, BN), tl.float32)
    for k in tl.range(0, tl.minimum(LENGTH, R - begin), BK, num_stages=STAGES):
        if TMA:
            x = dgates_tiles.load([t * batch + tl.program_id(1) * BM, begin + k])
            w = weight_tiles.load([begin + k, tl.program_id(0) * BN])
        elif R % BK == 0 and S % BN == 0:
            x = tl.load(dgates_at + k, mask=rows[:, None] < batch, other=0.0)
            w = tl.load(weight_at + k * S)
        else:
            x = tl.load(dgates_at + k, mask=(rows[:, None] < batch) & (k + ks[None, :] < R), other=0.0)
            w = tl.load(weight_at + k * S, mask=(k + ks[:, None] < R) & (columns[None, :] < S), other=0.0)
        product = tl.dot(x.to(w.dtype), w, product, input_precision=PRECISION)
    at = dpartial + (tl.program_id(2) * batch + rows)[:, None] * S + columns[None, :]
    tl.store(at, product, mask=(rows[:, None] < batch) & (columns[None, :] < S))
