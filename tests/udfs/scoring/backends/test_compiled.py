"""Compiled blocks say what plain ones say, for every number of tokens, from one compilation."""

import pytest
import torch

from tokensieve.udfs.encoders.encoder import build
from tokensieve.udfs.scoring.backends.compiled import compile_blocks

SHAPE = {"type": "masked", "vocab_size": 50, "dim": 16, "heads": 2, "hidden": 32, "layers": [1, 3]}


@pytest.mark.slow  # 20 s of compiling on a busy core
def test_compiled_features_are_those_of_plain_blocks():
    pytest.importorskip("torch._inductor")
    from torch._dynamo.utils import counters

    torch.manual_seed(0)
    plain, compiled = (build(SHAPE).eval().requires_grad_(False) for _ in range(2))
    compiled.load_state_dict(plain.state_dict())
    compile_blocks(compiled)
    counters.clear()
    with torch.inference_mode():
        for lengths in ([30, 20, 20], [7], [100, 3]):
            bounds_D1 = torch.tensor([0, *torch.tensor(lengths).cumsum(0)])
            ids_T = torch.randint(0, 50, (sum(lengths),))
            torch.testing.assert_close(compiled(ids_T, bounds_D1), plain(ids_T, bounds_D1), atol=1e-5, rtol=0)
    assert counters["stats"]["unique_graphs"] == 2


def test_an_encoder_without_our_blocks_is_refused_by_name():
    with pytest.raises(ValueError, match="Sequential is not made of blocks that can be compiled"):
        compile_blocks(torch.nn.Sequential())
