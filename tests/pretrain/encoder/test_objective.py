"""What is predicted from what, by literal ids, and that nothing passes a document's border."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tokensieve.pretrain.encoder import objective
from tokensieve.pretrain.encoder.config import MaskedConfig, Objective
from tokensieve.pretrain.encoder.corpus import Packed
from tokensieve.pretrain.encoder.objective import Task, loss_sum, task
from tokensieve.udfs.encoders.transformer import Transformer, TransformerConfig

MASK = 99


def _row(*documents: list[int], keys: list[int] | None = None) -> Packed:
    return Packed(
        ids_T=np.concatenate([np.array(document, np.int64) for document in documents]),
        bounds_N1=np.cumsum([0, *map(len, documents)]),
        key_N=np.array(keys or range(len(documents)), np.uint64),
        origin=(),
    )


def _task(which: Objective, row: Packed, *, rate: float = 0.15, seed: int = 0, step: int = 0) -> Task:
    return task(which, row, masked=MaskedConfig(rate=rate), mask_id=MASK, seed=seed, step=step)


def _model(causal: bool = True) -> Transformer:
    torch.manual_seed(4)
    return Transformer(TransformerConfig(vocab_size=100, dim=8, layers=2, heads=2, hidden=16, causal=causal))


def test_the_left_half_predicts_the_next_token_of_the_same_document():
    todo = _task("left", _row([5, 6, 7], [8], [9, 4]))
    assert todo.ids_T.tolist() == [5, 6, 7, 8, 9, 4]
    assert todo.place_L.tolist() == [0, 1, 4]
    assert todo.target_L.tolist() == [6, 7, 4]


def test_the_right_half_reads_every_document_backward_and_predicts_the_previous_token():
    """The released training never reversed anything, so its right half is a second left one."""
    todo = _task("right", _row([5, 6, 7], [8], [9, 4]))
    assert todo.ids_T.tolist() == [7, 6, 5, 8, 4, 9]
    assert todo.bounds_N1.tolist() == [0, 3, 4, 6]
    assert todo.place_L.tolist() == [0, 1, 4]
    assert todo.target_L.tolist() == [6, 5, 9]


def test_every_chosen_token_is_masked_and_only_those_bear_loss():
    row = _row(list(range(40)), list(range(40, 90)))
    todo = _task("masked", row, rate=0.3)
    chosen = todo.ids_T.numpy() == MASK
    assert todo.place_L.tolist() == np.flatnonzero(chosen).tolist()
    assert todo.target_L.tolist() == row.ids_T[chosen].tolist()
    assert (todo.ids_T.numpy()[~chosen] == row.ids_T[~chosen]).all()


def test_about_the_rate_of_tokens_is_masked():
    row = _row(*([1] * 50 for _ in range(400)))
    assert len(_task("masked", row)) / 20_000 == pytest.approx(0.15, abs=0.01)


def test_masks_depend_on_seed_step_and_content_and_not_on_the_microbatch():
    one, other = [1] * 60, [2] * 60
    together = _task("masked", _row(one, other, keys=[11, 12]), seed=3, step=7).ids_T
    alone = [_task("masked", _row(text, keys=[key]), seed=3, step=7).ids_T for text, key in ((one, 11), (other, 12))]
    assert torch.equal(together, torch.cat(alone))
    assert not torch.equal(together, _task("masked", _row(one, other, keys=[11, 12]), seed=3, step=8).ids_T)
    assert not torch.equal(together, _task("masked", _row(one, other, keys=[11, 12]), seed=4, step=7).ids_T)


@pytest.mark.parametrize("which", ["left", "right", "masked"])
def test_the_loss_of_a_row_is_the_sum_of_its_documents_losses(which: Objective):
    """Neither attention nor a target passes a border, unlike with random windows over joined documents."""
    model, documents = _model(which != "masked"), [[3, 1, 4, 1, 5, 9], [2, 6], [5], [3, 5, 8, 9, 7, 9, 3]]
    keys = [21, 22, 23, 24]
    together = loss_sum(model, _task(which, _row(*documents, keys=keys), rate=0.5))
    alone = [
        loss_sum(model, _task(which, _row(text, keys=[key]), rate=0.5)).item()
        for text, key in zip(documents, keys, strict=True)
    ]
    assert together.item() == pytest.approx(sum(alone), rel=1e-5)


def test_logits_in_chunks_give_the_same_loss_and_gradient(monkeypatch: pytest.MonkeyPatch):
    todo = _task("left", _row(list(range(30)), list(range(50, 90))))
    found = []
    for logits in (2**28, 700):  # 700 logits are 7 places of this vocabulary
        monkeypatch.setattr(objective, "LOGITS", logits)
        model = _model()
        loss = loss_sum(model, todo)
        loss.backward()
        found.append((loss.item(), model.embedding.weight.grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    torch.testing.assert_close(found[0][1], found[1][1])


def test_the_loss_is_the_cross_entropy_of_the_targets(tmp_path: Path):
    model, todo = _model(), _task("left", _row([1, 2, 3]))
    (x_TD,) = model(todo.ids_T, todo.bounds_N1)
    probability = model.logits(x_TD).softmax(dim=1)
    expected = -(probability[0, 2].log() + probability[1, 3].log())
    assert loss_sum(model, todo).item() == pytest.approx(expected.item(), rel=1e-5)
