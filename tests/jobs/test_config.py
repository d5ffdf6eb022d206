import pytest

from jobs.config import load_config, to_yaml
from jobs.errors import ConfigError


def test_dotted_overrides_win_over_the_file(configure):
    config = configure("policies.medicine.rule.threshold=0.4", "tables.format=delta", "source.columns.id=null")
    assert config.policies["medicine"].rule.threshold == 0.4
    assert config.tables.format == "delta"
    assert config.source.columns.id is None


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("sorce.path=x", r"unknown key sorce; did you mean source\?"),
        ("source.pth=x", r"unknown key source.pth; did you mean source.path\?"),
        ("policies.medicine.rule.treshold=1", r"did you mean policies.medicine.rule.threshold\?"),
        ("source.columns.txt=x", r"did you mean source.columns.text\?"),
        ("export.zzz=1", r"valid keys here: eod, hidden, pad_vocabulary_to"),
        ("policies.medicine.rule.threshold=2", r"policies.medicine.rule.threshold: Input should be less than 1"),
        ("tables.format=iceberg", r"tables.format: Input should be 'parquet' or 'delta'"),
        ("tables.root=s3a://bucket/x", r"local or mounted folders only"),
        ("policies.Bad-Name.bundle=x", r"policies.Bad-Name.definition: Field required"),
        ("policies.medicine", r"is not of the form key.key=value"),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(configure, override, expected):
    with pytest.raises(ConfigError, match=expected):
        configure(override)


def test_a_policy_name_must_be_fit_for_a_column(configure):
    with pytest.raises(ConfigError, match="policy 'Bad-Name' names a table column"):
        configure("policies.Bad-Name.bundle=x", "policies.Bad-Name.definition=medicine")


def test_an_unreadable_file_says_where(tmp_path):
    (tmp_path / "bad.yaml").write_text("source: [unclosed\n")
    with pytest.raises(ConfigError, match=r"bad.yaml: cannot be read as YAML"):
        load_config(str(tmp_path / "bad.yaml"))


def test_a_missing_file_names_the_nearest_preset():
    with pytest.raises(ConfigError, match=r"demmo: no such file .* did you mean conf/demo.yaml\?"):
        load_config("demmo")


def test_presets_are_found_by_name_and_the_hash_follows_the_content(configure):
    assert load_config("demo").tables.root == load_config("conf/demo.yaml").tables.root == "out/demo"
    assert to_yaml(configure()) == to_yaml(configure())
    assert to_yaml(configure()) != to_yaml(configure("export.seed=1"))
