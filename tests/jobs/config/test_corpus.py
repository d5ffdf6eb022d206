import pytest

from tokensieve.jobs.config.corpus import load_config
from tokensieve.jobs.config.load import to_yaml
from tokensieve.jobs.errors import ConfigError
from tokensieve.udfs.files.installed import conf_folder


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
        ("export.zzz=1", r"valid keys here: backend, eod, folder, group_text_bytes, hidden"),
        ("policies.medicine.rule.threshold=2", r"policies.medicine.rule.threshold: Input should be less than 1"),
        ("tables.format=iceberg", r"tables.format: Input should be 'parquet' or 'delta'"),
        ("tables.root=hdfs://cluster/x", r"hdfs:// has no put-if-absent that we know, so commits could be lost"),
        ("tables.root=s3a://key:secret@bucket/x", r"with credentials: they do not belong"),
        ("source.path=s3a://key:secret@bucket/x", r"with credentials: they do not belong"),
        ("tables.storage.endpoint=minio:9000", r"write http://host:port or https://host:port"),
        ("tables.storage.endpoint=https://key:secret@minio:9000", r"with credentials: they do not belong"),
        ("tables.storage.secret=x", r"unknown key tables.storage.secret"),
        ("spark.conf={spark.hadoop.fs.s3a.secret.key: x}", r"spark.hadoop.fs.s3a.secret.key with credentials: they do"),
        ("spark.conf={fs.azure.account.key.me.net: x}", r"fs.azure.account.key.me.net with credentials: they do"),
        ("spark.conf={spark.executorEnv.AWS_SECRET_ACCESS_KEY: x}", r"AWS_SECRET_ACCESS_KEY with credentials: they do"),
        ("policies.Bad-Name.bundle=x", r"policies.Bad-Name.definition: Field required"),
        ("policies.medicine", r"is not of the form key.key=value"),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(configure, override, expected):
    with pytest.raises(ConfigError, match=expected):
        configure(override)


def test_credentials_are_not_repeated_in_the_message(configure):
    for override in ("source.path=s3a://key:geheim@b/x", "spark.conf={spark.hadoop.fs.s3a.secret.key: geheim}"):
        with pytest.raises(ConfigError) as told:
            configure(override)
        assert "geheim" not in str(told.value)


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


def test_a_pretraining_preset_stands_wherever_the_section_is_silent(configure):
    pretrain = configure(
        "pretrain.preset=paper-1030m", "pretrain.model.position=none", "pretrain.global_batch_size=320"
    ).pretrain
    assert (pretrain.preset, pretrain.seq_length, pretrain.tokens_per_parameter) == ("paper-1030m", 2048, 20)
    assert (pretrain.global_batch_size, pretrain.optimizer.clip_grad) == (320, 0.5)
    assert (pretrain.model.layers, pretrain.model.position) == (26, "none")


@pytest.mark.parametrize(("budget", "value"), [("steps", 3), ("tokens", 4096)])
def test_a_budget_of_the_section_replaces_the_presets(configure, budget, value):
    pretrain = configure("pretrain.preset=paper-13m", f"pretrain.{budget}={value}").pretrain
    given = {name: getattr(pretrain, name) for name in ("steps", "tokens", "tokens_per_parameter")}
    assert {name for name in given if given[name] is not None} == {budget}
    assert given[budget] == value


def test_an_unknown_pretraining_preset_names_the_nearest(configure):
    with pytest.raises(
        ConfigError, match=r"pretrain/paper-61: no such file .* did you mean conf/pretrain/paper-61m.yaml"
    ):
        configure("pretrain.preset=paper-61")


def test_a_misspelt_key_beside_a_preset_is_still_named(configure):
    with pytest.raises(ConfigError, match=r"did you mean pretrain.model.layers\?"):
        configure("pretrain.preset=smoke", "pretrain.model.layer=3")


def test_every_pretraining_preset_is_a_section_of_its_own(configure):
    names = sorted(file.stem for file in (conf_folder() / "pretrain").glob("*.yaml"))
    assert names == sorted(PRESETS)
    for name in names:
        pretrain = configure(f"pretrain.preset={name}").pretrain
        assert (pretrain.model.family, pretrain.optimizer.lr, pretrain.optimizer.weight_decay) == PRESETS[name]
        assert pretrain.seq_length * pretrain.global_batch_size == (1024 if name == "smoke" else 327_680)
        assert pretrain.global_batch_size % pretrain.micro_batch_size == 0
        if name != "smoke":
            assert (pretrain.optimizer.eps, pretrain.optimizer.beta1, pretrain.optimizer.beta2) == (1e-7, 0.9, 0.95)
            assert (pretrain.model.mup.base_width, pretrain.tokens_per_parameter) == (256, 20)


PRESETS = {
    "paper-13m": ("paper", 1e-3, 0.01),
    "paper-29m": ("paper", 3e-3, 0.1),
    "paper-61m": ("paper", 3e-3, 0.1),
    "paper-113m": ("paper", 3e-3, 0.1),
    "paper-224m": ("paper", 3e-3, 0.1),
    "paper-521m": ("paper", 3e-3, 0.1),
    "paper-1030m": ("paper", 3e-3, 0.1),
    "paper-1816m": ("paper", 3e-3, 0.1),
    "llama-61m": ("llama", 3e-3, 0.1),
    "llama-224m": ("llama", 3e-3, 0.1),
    "smoke": ("paper", 3e-3, 0.1),
}
