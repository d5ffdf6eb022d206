"""What a recipe may say: the whole of a file in `conf/classifiers/`. Each section's model lives beside its code.

A section that the chosen method does not read is refused, so that nobody believes it had an effect.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tokensieve.pretrain.classifier.backbone import EncoderConfig
from tokensieve.pretrain.classifier.choose_head import Metric
from tokensieve.pretrain.classifier.draw_tokens import DrawConfig
from tokensieve.pretrain.classifier.figures import SpanFiles
from tokensieve.pretrain.classifier.joint_trainer import TrainConfig
from tokensieve.pretrain.classifier.logistic_head import LogisticConfig
from tokensieve.pretrain.classifier.mlp_head import MlpConfig
from tokensieve.pretrain.classifier.spliced_rows import SpliceConfig
from tokensieve.pretrain.classifier.teacher import TeacherConfig
from tokensieve.pretrain.classifier.token_pools import TargetConfig
from tokensieve.pretrain.labelled.corpus import CorpusConfig
from tokensieve.pretrain.measuring.calibrate import Goals, SmoothConfig


class JointHead(BaseModel):
    """Encoder and head trained together from scratch, on spliced rows (sections splice, target, train)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["joint"] = "joint"


class FinetuneHead(BaseModel):
    """The same from a pretrained encoder, all parameters, with a learning rate of its own for the encoder.

    arXiv 2601.21571 avoids it, for it learns the noise of weak labels too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["finetune"]
    encoder_learning_rate: float = Field(default=2e-5, gt=0)


class _Frozen(BaseModel):
    """What heads on frozen features share: the tokens, and the calibration figure that chooses among settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    draw: DrawConfig = DrawConfig()
    by: Metric = "f1"


class LogisticHead(_Frozen, LogisticConfig):
    """A logistic probe on each layer (`encoder.layers: sweep`) or on the given ones side by side."""

    method: Literal["logistic"]


class MultilayerHead(_Frozen, LogisticConfig):
    """A logistic probe on at most `most` layers, added one by one while that helps."""

    method: Literal["multilayer"]
    most: int = Field(default=4, ge=1)


class MlpHead(_Frozen, MlpConfig):
    """A head with a hidden layer, on layers as with `logistic`."""

    method: Literal["mlp"]


FrozenHead = LogisticHead | MultilayerHead | MlpHead
TrainedHead = JointHead | FinetuneHead


class FitConfig(BaseModel):
    """A recipe; `conf/classifiers/medicine-tiny.yaml` is that of the bundled classifier.

    Attributes:
        policy: the name of a policy, whose hash label sets must carry. out: the bundle's folder.
        threads, device: where it runs; figures are those of this device.
        vocabulary: size of the tokenizer that method joint trains.
        head: how the head is made, by `method`. teacher: labels by a bundle in place of the corpus's.
        document_head_documents: training documents per class that the document head is fitted on; heads on frozen
            features have it from their drawn documents.
        goals: what the thresholds are to achieve on the calibration documents.
        license: the licence of the weights. notes: attribution, limits that figures do not show. Both go on the card.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    policy: str
    out: Path
    seed: int = Field(default=0, ge=0)
    threads: int = Field(default=2, ge=1)
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    corpus: CorpusConfig
    spans: SpanFiles = SpanFiles()
    vocabulary: int = Field(default=8192, ge=257)
    encoder: EncoderConfig
    head: Annotated[FrozenHead | TrainedHead, Field(discriminator="method")] = JointHead()
    teacher: TeacherConfig | None = None
    splice: SpliceConfig = SpliceConfig()
    target: TargetConfig = TargetConfig()
    train: TrainConfig = TrainConfig()
    document_head_documents: int = Field(default=800, ge=2)
    smooth: SmoothConfig = SmoothConfig()
    goals: Goals = Goals()
    license: str = ""
    notes: str = ""

    @property
    def has_token_labels(self) -> bool:
        """Whether training tokens have labels of their own, from a label set or a teacher."""
        return self.teacher is not None or self.corpus.train_label_set is not None

    @model_validator(mode="before")
    @classmethod
    def _default_method(cls, given: object) -> object:
        if isinstance(given, dict) and isinstance(given.get("head"), dict) and "method" not in given["head"]:
            raise ValueError("head.method is missing: joint, finetune, logistic, multilayer or mlp")
        return given

    @model_validator(mode="after")
    def _nothing_unread(self) -> "FitConfig":
        method = self.head.method
        if (self.encoder.shape is not None) != (method == "joint"):
            raise ValueError(
                f"head.method {method} does not go with this encoder: joint trains a fresh one (encoder.type), the "
                "other methods need encoder.pretrained, encoder.hugging_face or encoder.bundle"
            )
        if method == "finetune" and self.encoder.layers == "sweep":
            raise ValueError("head.method finetune trains one encoder: give encoder.layers as a list")
        unread = [] if method == "joint" else ["vocabulary"]
        if not isinstance(self.head, TrainedHead):
            unread += ["splice", "target", "train", "document_head_documents"]
        elif self.has_token_labels:
            unread += ["target"]
        fields = type(self).model_fields
        for name in unread:
            if getattr(self, name) != fields[name].default:
                why = "with token labels" if isinstance(self.head, TrainedHead) and name == "target" else f"by {method}"
                raise ValueError(f"{name} is not read {why}; take it out of the recipe")
        return self
