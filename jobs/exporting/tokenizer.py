"""The pretraining tokenizer of an export: found, checked, and described for the manifest."""

from pathlib import Path

from tokensieve.jobs.config.export import ExportConfig
from tokensieve.jobs.config.load import find
from tokensieve.jobs.errors import ConfigError, InputError
from tokensieve.pretrain.shards.shard_info import TokenizerInfo
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer


def tokenizer_info(export: ExportConfig) -> tuple[ByteTokenizer, TokenizerInfo]:
    """The pretraining tokenizer and what the manifest says of it. Raises ConfigError, InputError."""
    if export.tokenizer is None:
        raise ConfigError("export.tokenizer is not set: name the pretraining tokenizer's file")
    path = Path(export.tokenizer) if Path(export.tokenizer).is_dir() else find(export.tokenizer)
    try:
        tokenizer = ByteTokenizer.load(path, export.backend)
    except (ValueError, FileNotFoundError) as error:
        raise InputError(f"export.tokenizer: {error}") from error
    eod = tokenizer.token_id(export.eod)
    if eod is None:
        raise ConfigError(f"export.eod: {export.tokenizer} has no token {export.eod!r}; name its end-of-text token")
    hidden = tokenizer.token_id(export.hidden)
    hidden_id = tokenizer.vocab_size if hidden is None else hidden
    if hidden_id == eod:
        raise ConfigError(f"export.hidden and export.eod are both token {eod}")
    used, unit = max(tokenizer.vocab_size, hidden_id + 1), export.pad_vocabulary_to
    return tokenizer, TokenizerInfo(
        file=f"tokenizer-{tokenizer.sha256[:12]}{Path(tokenizer.file_name).suffix}",
        sha256=tokenizer.sha256,
        vocab_size=tokenizer.vocab_size,
        eod=eod,
        hidden_id=hidden_id,
        padded_vocab_size=-(-used // unit) * unit,
    )
