"""Attention within packed rows: by Triton's interpreter, compiled for a GPU, and on one."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys

import literal_rows
import pytest
import torch
from literal_rows import EXAMPLES, ROW, Case, errors, example, ours, seen_places

from seraser_core.models import row_attention
from seraser_core.models.row_attention import attend_rows, kernel_options, serves

BF16, FP32 = torch.bfloat16, torch.float32
CUDA, CPU = torch.device("cuda"), torch.device("cpu")
MOST = {FP32: 1e-5, BF16: 2e-2}
"""Errors relative to the largest value: 2^-8 per rounding of the interpreter, which cuts off."""
MODEL = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 24, "heads": 4, "layers": 3},
}
SEEN = [
    [1, 1, 0, 0, 0, 0, 0],
    [1, 1, 1, 0, 0, 0, 0],
    [1, 1, 1, 1, 0, 0, 0],
    [1, 1, 1, 1, 1, 0, 0],
    [1, 1, 1, 0, 0, 1, 0],
    [1, 1, 1, 0, 0, 0, 1],
]
"""Start-of-text, two tuned tokens, two of a class, one of another, and an unused place."""
SERVED = [name for name, (case, dtype) in EXAMPLES.items() if dtype == BF16 or case.head_size <= 64]
A_ROW = Case("a row", 4, ({0: 4, 1: 20, 2: 39}, {0: 4, 3: 50, -1: 9}), 12, 64)


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    """Results of `literal_rows` with Triton's interpreter."""
    pytest.importorskip("triton")
    model = tmp_path_factory.mktemp("rows") / "tiny.json"
    model.write_text(json.dumps(MODEL))
    done = subprocess.run(
        [sys.executable, literal_rows.__file__, model],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=300,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", EXAMPLES)
def test_values_and_gradient_equal_those_of_fp64_with_the_mask_written_out(interpreted, name):
    most = MOST[EXAMPLES[name][1]]
    assert interpreted["errors"][name]["values"] <= most
    assert interpreted["errors"][name]["gradient"] <= most


def test_the_engine_that_attends_so_computes_what_the_text_tower_does(interpreted):
    many, one = interpreted["engine"]
    for each in (many, one):
        assert each["values"] <= 1e-5 and each["gradient"] <= 1e-4


def test_queries_see_start_of_text_tuned_tokens_and_their_own_until_themselves(interpreted):
    assert interpreted["seen"] == SEEN


def compile_for_h100(name, dtype, tokens, heads, head_size):
    """The compiled kernel; what ptxas says is printed."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from seraser_core.models import row_kernels

    kernel = getattr(row_kernels, name)
    options = kernel_options(dtype, tokens, heads, head_size)
    constants = {key: options.pop(key) for key in kernel.arg_names if key in options}
    numbers = {"owner": "*i32", "tokens": "i32", "rows": "i32", "scale": "fp32"}
    pointer = {BF16: "*bf16", FP32: "*fp32"}[dtype]
    types = {
        key: "constexpr" if key in constants else numbers.get(key, pointer)
        for key in kernel.arg_names
    }
    aligned = {
        (i,): [["tt.divisibility", 16]] for i, kind in enumerate(types.values()) if kind[0] == "*"
    }
    source = ASTSource(kernel, types, constants, aligned)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


@pytest.fixture
def compiled(monkeypatch, tmp_path, capfd):
    """Compiles a kernel: its PTX, registers and bytes of spilled ones."""
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TRITON_DUMP_PTXAS_LOG", "1")

    def compile_kernel(*arguments):
        capfd.readouterr()
        kernel = compile_for_h100(*arguments)
        log = capfd.readouterr().out
        spilled = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log)
        registers = int(re.search(r"Used (\d+) registers", log)[1])
        return kernel.asm["ptx"], registers, sum(map(int, spilled.groups()))

    return compile_kernel


@pytest.mark.parametrize(
    ("name", "most"), [("attend_rows_forward", 96), ("attend_rows_backward", 128)]
)
def test_kernels_compile_for_an_h100(compiled, record_property, name, most):
    ptx, registers, spilled = compiled(name, BF16, 63, 12, 64)
    record_property("registers", registers)
    assert spilled == 0
    assert registers <= most, "fewer programs at once do not hide the latency of memory"
    assert "wgmma.mma_async" in ptx
    assert not re.search(r"\b(atom|red)\.", ptx), "sums in any order do not repeat"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["attend_rows_forward", "attend_rows_backward"])
@pytest.mark.parametrize("tokens", [1, 16, 32, 63])
@pytest.mark.parametrize(("dtype", "head_size"), [(BF16, 10), (BF16, 80), (BF16, 128), (FP32, 64)])
def test_all_that_is_served_compiles(compiled, name, tokens, dtype, head_size):
    _, _, spilled = compiled(name, dtype, tokens, 5, head_size)
    assert spilled <= (0 if dtype == BF16 else 1024)


@pytest.mark.parametrize(
    ("tokens", "owners", "width", "heads", "message"),
    [
        (64, 64, 32, 2, "64 positions"),
        (5, 6, 32, 2, "5 positions, and owners of 6"),
        (0, 0, 32, 2, "0 positions"),
        (5, 5, 32, 3, "width 32 and 3 heads"),
        (5, 5, 30, 2, "width 30 and 2 heads"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(tokens, owners, width, heads, message):
    start = torch.zeros(1, 1, width)
    qkv = torch.zeros(2, tokens, 96)
    with pytest.raises(ValueError, match=message):
        attend_rows(qkv, start, start, torch.zeros(1, owners, dtype=torch.int32), heads)


@pytest.fixture
def h100(monkeypatch):
    """A device of which all is said but that it runs anything."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(row_attention, "_runs", lambda *_: True)


@pytest.mark.parametrize(
    ("device", "dtype", "tokens", "head_size", "served"),
    [
        (CUDA, BF16, 63, 128, True),
        (CUDA, BF16, 1, 10, True),
        (CUDA, FP32, 63, 64, True),
        (CPU, BF16, 63, 64, False),
        (CUDA, torch.float64, 63, 64, False),
        (CUDA, BF16, 64, 64, False),
        (CUDA, BF16, 63, 129, False),
        (CUDA, FP32, 63, 65, False),
    ],
)
def test_long_rows_and_wide_heads_are_not_served(h100, device, dtype, tokens, head_size, served):
    pytest.importorskip("triton")
    assert serves(device, dtype, tokens, 12, head_size) is served


def test_nothing_is_served_without_triton(h100, monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    assert not serves(CUDA, BF16, 63, 12, 64)
    names = runpy.run_path(row_attention.__file__)
    assert not names["serves"](CPU, BF16, 63, 12, 64)


def test_where_triton_fails_a_warning_says_why(caplog):
    pytest.importorskip("triton")
    assert not row_attention._runs(CPU, FP32, 5, 1, 16)
    assert "attention is computed without Triton" in caplog.text


@pytest.mark.gpu
@pytest.mark.parametrize("name", SERVED)
def test_a_gpu_computes_the_same(name):
    case, dtype = EXAMPLES[name]
    assert serves(CUDA, dtype, case.owner.shape[1], case.heads, case.head_size)
    found = errors(case, dtype, CUDA)
    assert found["values"] <= MOST[dtype]
    assert found["gradient"] <= MOST[dtype]


@pytest.mark.gpu
def test_a_gpu_sees_the_same_places():
    assert seen_places(ROW, CUDA) == SEEN


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [BF16, FP32])
def test_bits_depend_on_neither_the_batch_nor_the_run(dtype):
    qkv, *constants, gradient = (t.to(CUDA) for t in example(A_ROW, dtype))
    first = ours(qkv, *constants, gradient, A_ROW.heads)
    for _ in range(20):
        again = ours(qkv, *constants, gradient, A_ROW.heads)
        assert all(map(torch.equal, first, again))
    last = ours(qkv[-2:], *constants, gradient[-2:], A_ROW.heads)
    assert all(torch.equal(a[-2:], b) for a, b in zip(first, last, strict=True))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [BF16, FP32])
def test_a_graph_replays_the_same_bits(dtype):
    qkv, *constants, gradient = (t.to(CUDA) for t in example(A_ROW, dtype))
    assert serves(CUDA, dtype, qkv.shape[1], A_ROW.heads, A_ROW.head_size)
    leaf = torch.zeros_like(qkv, requires_grad=True)

    def step():
        out = attend_rows(leaf, *constants, A_ROW.heads)
        return out.detach(), *torch.autograd.grad(out, leaf, gradient)

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        recorded = step()
    with torch.no_grad():
        leaf.copy_(qkv)
    graph.replay()
    torch.cuda.synchronize()
    assert all(map(torch.equal, recorded, ours(qkv, *constants, gradient, A_ROW.heads)))
