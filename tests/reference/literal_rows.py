"""Attention within packed rows, in fp64 with the mask written out, and how far ours is from it.

As a program it prints what Triton's interpreter computes. That must be chosen before Triton is
imported: ``TRITON_INTERPRET=1 python literal_rows.py MODEL.json``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from seraser_core.config.options import ModelOptions
from seraser_core.models.causal import CausalPromptEngine
from seraser_core.models.clip_model import get_model
from seraser_core.models.plain import PlainPromptEngine
from seraser_core.models.prompts import build_prompts
from seraser_core.models.row_attention import attend_rows

SHARED, UNUSED = 0, -1


@dataclass(frozen=True)
class Case:
    """Rows of `batch` images, owner by owner.

    Attributes:
        lengths: For each row, how many tokens each owner in it has.
    """

    name: str
    batch: int
    lengths: tuple[dict[int, int], ...]
    heads: int
    head_size: int

    @property
    def owner(self):
        rows = [[o for o, n in row.items() for _ in range(n)] for row in self.lengths]
        return torch.tensor(rows, dtype=torch.int32)


CASES = [
    Case("one class alone", 2, ({0: 3, 1: 7},), 2, 64),
    Case("a position alone", 2, ({0: 1},), 1, 64),
    Case(
        "a block full of classes",
        2,
        (
            {0: 4, 1: 9, 2: 11, 3: 20, 4: 19},
            {0: 4, 5: 30, 6: 1, 7: 28},
            {0: 4, 8: 5, 9: 14, UNUSED: 40},
        ),
        2,
        64,
    ),
    Case("a block full by one", 1, ({0: 2, 1: 13}, {0: 2, 2: 6, 3: 4, UNUSED: 3}), 3, 32),
    Case("a block full but one", 2, ({0: 2, 1: 5, 2: 7}, {0: 2, 3: 12}), 2, 16),
    Case("a block begun by one", 1, ({0: 5, 1: 3, 2: 8}, {0: 5, 3: 2, UNUSED: 9}), 2, 40),
    Case("heads of 80", 1, ({0: 4, 1: 9, 2: 9}, {0: 4, 3: 17, UNUSED: 1}), 2, 80),
    Case("heads of 10", 2, ({0: 3, 1: 10, 2: 20, UNUSED: 4},), 3, 10),
    Case("heads of 128", 1, ({0: 16, 1: 20, 2: 25},), 1, 128),
    Case("nothing shared", 1, ({1: 3, 2: 2, 3: 4},), 2, 16),
]
"""Places with start-of-text: 11, 2, 64, 16, 15, 17, 23, 38, 62, 10."""
EXAMPLES = {f"{case.name} in fp32": (case, torch.float32) for case in CASES}
EXAMPLES |= {f"{case.name} in bf16": (case, torch.bfloat16) for case in CASES[:3] + CASES[-4:-1]}
ROW = (0, 0, 1, 1, 2, -1)
"""Owners of a row whose mask the tests write down."""


def mask_of(owner):
    """Which keys, start-of-text first, the queries of a row see: (T, 1 + T) bool."""
    mask = torch.zeros(len(owner), 1 + len(owner), dtype=torch.bool)
    owner = owner.tolist()
    for i, mine in enumerate(owner):
        mask[i, 0] = True
        for j in range(i + 1):
            mask[i, 1 + j] = owner[j] in (SHARED, mine)
    return mask


def literal(qkv, start_key, start_value, owner, heads):
    """See `seraser_core.models.row_attention.attend_rows`."""
    rows = []
    for i, row in enumerate(qkv):
        query, key, value = row.chunk(3, dim=-1)
        key = torch.cat([start_key[0], key])
        value = torch.cat([start_value[0], value])
        query, key, value = (
            t.unflatten(-1, (heads, -1)).transpose(0, 1) for t in (query, key, value)
        )
        mask = mask_of(owner[i % len(owner)])
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        rows.append(out.transpose(0, 1).flatten(1))
    return torch.stack(rows)


def example(case, dtype):
    """Random inputs of a case, and a random gradient of what comes out."""
    generator = torch.Generator().manual_seed(5)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    owner, width = case.owner, case.heads * case.head_size
    count, tokens = case.batch * len(owner), owner.shape[1]
    # Scores of a few units: some places get nearly all, as in a model.
    qkv = 1.5 * normal(count, tokens, 3 * width)
    start_key, start_value = normal(1, 1, width), normal(1, 1, width)
    return qkv, start_key, start_value, owner, normal(count, tokens, width)


def ours(qkv, start_key, start_value, owner, gradient, heads):
    """Attended values and the gradient of ``qkv`` on the inputs' device."""
    leaf = qkv.clone().requires_grad_()
    out = attend_rows(leaf, start_key, start_value, owner, heads)
    out.backward(gradient)
    return out.detach(), leaf.grad


def errors(case, dtype, device):
    """Largest errors of values and gradient, each relative to the largest of them."""
    inputs = example(case, dtype)
    out, grad = ours(*(t.to(device) for t in inputs), case.heads)
    qkv, start_key, start_value, _, gradient = (t.double() for t in inputs)
    qkv.requires_grad_()
    expected = literal(qkv, start_key, start_value, inputs[3], case.heads)
    expected.backward(gradient)
    return {"values": _error(out, expected.detach()), "gradient": _error(grad, qkv.grad)}


def _error(found, expected):
    return float((found.double().cpu() - expected).abs().max() / expected.abs().max())


def seen_places(owner, device):
    """Places that each query of a row sees, start-of-text first: (T, 1 + T) 0 or 1.

    Queries of zeros give every place that they see the same share, and each place has a dimension.
    """
    tokens, size = len(owner), 1 + len(owner)
    qkv = torch.zeros(1, tokens, 3, size, device=device)
    qkv[0, :, 2, 1:] = torch.eye(tokens, device=device)
    start_value = torch.zeros(1, 1, size, device=device)
    start_value[..., 0] = 1
    owners = torch.tensor([list(owner)], dtype=torch.int32, device=device)
    out = attend_rows(qkv.flatten(2), torch.zeros_like(start_value), start_value, owners, 1)
    return (out[0] > 0).int().tolist()


def engine_errors(model):
    """Errors of the engine that attends by Triton against the tower: many classes, then one."""
    found = []
    for classes in ([f"animal {i} of a wood far away {i}" for i in range(9)], ["cat"]):
        prompts = build_prompts(classes, "a photo of {}", model.tokenizer, model.context_length)
        plain = PlainPromptEngine(model, prompts, 3)
        engine = CausalPromptEngine(model, prompts, 3, pass_positions=200)
        engine._by_triton = True
        torch.manual_seed(1)
        prompt = plain.initial_prompt + 0.05 * torch.randn(3, *plain.initial_prompt.shape)
        prompt.requires_grad_()
        features = [each.text_features(prompt) for each in (engine, plain)]
        weight = torch.randn_like(features[0])
        gradients = [torch.autograd.grad((each * weight).sum(), prompt)[0] for each in features]
        found.append({"values": _error(*features), "gradient": _error(*gradients)})
    return found


def _multiply_bfloat16():
    """Make the interpreter multiply bfloat16, of which it takes the bits for integers."""
    multiply = InterpreterBuilder.create_dot

    def create_dot(self, a, b, *others):
        a, b = (self.cast_impl(t, tl.float32) if t.dtype == tl.bfloat16 else t for t in (a, b))
        return multiply(self, a, b, *others)

    InterpreterBuilder.create_dot = create_dot


if __name__ == "__main__":
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder

    _multiply_bfloat16()
    found = {name: errors(case, dtype, "cpu") for name, (case, dtype) in EXAMPLES.items()}
    model = get_model(ModelOptions(name=sys.argv[1], pretrained=None, device="cpu"))
    seen = seen_places(ROW, "cpu")
    json.dump({"errors": found, "seen": seen, "engine": engine_errors(model)}, sys.stdout)
