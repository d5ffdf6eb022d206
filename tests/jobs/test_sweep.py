"""The verb sweep over real scores: its table says at each threshold what the verb mask then does."""

import pytest

from tests.corpora import write_corpus
from tokensieve.jobs import mask, score, sweep
from tokensieve.jobs.errors import InputError


def test_every_row_of_the_table_is_what_masking_at_that_threshold_gives(configure, spark, tmp_path):
    write_corpus(tmp_path / "source")
    rule = ("policies.medicine.rule.min_tokens=2", "policies.medicine.rule.bridge_tokens=1")
    config = configure("sweep.thresholds=[0.6,0.4,0.5]", *rule)
    with pytest.raises(InputError, match="run `tokensieve score` first"):
        sweep.run(config, spark)
    score.run(config, spark)
    result = sweep.run(config, spark)
    assert [(row["policy"], row["threshold"], row["documents"]) for row in result["rows"]] == [
        ("medicine", 0.4, 24),
        ("medicine", 0.5, 24),
        ("medicine", 0.6, 24),
    ]
    for row in result["rows"][::2]:
        masked = mask.run(configure(*rule, f"policies.medicine.rule.threshold={row['threshold']}"), spark)
        assert row["forget_bytes"] == masked["forget_bytes"] > 0
        assert row["marked"] == masked["documents"]["mask"]
        assert row["forget_byte_share"] == row["forget_bytes"] / row["text_bytes"]
    assert len(result["lines"]) == 4
    assert sweep.run(config, spark) == result, "a second run finds the table and counts nothing"
