"""The verb score with a cascade: thresholds from one sample, figures from another, and what mask then refuses."""

import pytest

from tests.corpora import write_corpus
from tokensieve.jobs import mask, score, sweep
from tokensieve.jobs.errors import ConfigError, InputError
from tokensieve.udfs.scoring.score_plan import SAMPLED, SKIPPED


def test_a_cascade_scans_what_its_thresholds_say_and_its_sample_tells_what_that_kept(configure, spark, tmp_path):
    write_corpus(tmp_path / "source")
    shape = ("score.cascade.documents=20", "score.cascade.stretch=4", "score.cascade.least=2", "score.cascade.keep=0.8")
    whole = score.run(configure("tables.root=" + str(tmp_path / "whole")), spark)
    assert "cascade" not in whole
    full = rows(configure("tables.root=" + str(tmp_path / "whole")), spark)

    config = configure(*shape)
    result = score.run(config, spark)
    assert result["documents"] == {"in": 24, "scored": 24, "quarantine": 0, "reasons": {}}
    threshold = result["cascade"]["thresholds"]["medicine"]
    found = rows(config, spark)
    sampled = [row for row in found if row["flags"] & SAMPLED]
    assert 0 < len(sampled) == result["cascade"]["documents"] < 24
    for row, same in zip(found, full):
        probed = row["probe"] is not None
        wanted = not probed or row["probe"] >= threshold or bool(row["flags"] & SAMPLED)
        assert bool(row["flags"] & SKIPPED) == (not wanted)
        if wanted:
            assert row["token_scores"] == same["token_scores"]
    forget = {row["doc_id"]: sum(value >= 128 for value in row["token_scores"]) for row in sampled}
    passing = [row for row in sampled if row["probe"] is None or row["probe"] >= threshold]
    kept = sum(forget[row["doc_id"]] for row in passing) / sum(forget.values())
    assert result["cascade"]["kept"]["medicine"] == pytest.approx(kept, abs=1e-5)
    assert score.run(config, spark) == {key: value for key, value in result.items() if key not in ("device", "sources")}

    mask.run(configure(*shape, "policies.medicine.rule.threshold=0.7"), spark)
    with pytest.raises(InputError, match=r"a cascade skipped documents for policy medicine at token threshold 0\.5"):
        mask.run(configure(*shape, "policies.medicine.rule.threshold=0.4"), spark)
    with pytest.raises(InputError, match=r"at token threshold 0\.5; 0\.3 would miss tokens"):
        sweep.run(configure(*shape, "sweep.thresholds=[0.6,0.3]"), spark)


def test_thresholds_set_by_hand_need_no_sample_and_a_sample_without_forget_tokens_is_an_error(
    configure, spark, tmp_path
):
    write_corpus(tmp_path / "source")
    shape = ("score.cascade.stretch=4", "score.cascade.least=2")
    config = configure(*shape, "score.cascade.thresholds.medicine=1.0", "score.cascade.documents=20")
    assert score.run(config, spark)["cascade"]["thresholds"] == {"medicine": 1.0}
    found = rows(config, spark)
    assert any(row["flags"] & SKIPPED for row in found)
    assert all(row["flags"] & (SKIPPED | SAMPLED) or row["probe"] is None for row in found)
    with pytest.raises(ConfigError, match=r"no forget token among \d+ documents of the sample"):
        score.run(configure(*shape, "policies.medicine.rule.threshold=0.9999"), spark)


def rows(config, spark) -> list[dict]:
    frame = config.tables.table("scores").read(spark).orderBy("doc_id").select("doc_id", "medicine.*")
    return [row.asDict() for row in frame.collect()]
