"""How many tokens a share is, by the two readings of "ratio", and how far the chosen documents may be off.

Source: arXiv 2505.04741, whose clean part is constant and whose toxic part is added on top.
"""

from typing import Literal

from pretrain.mix.config import MixConfig

SMALLEST_PART = 0.1  # of a share: 0.1 % may not be met by nothing, although that is only 0.1 % off


def target_tokens(config: MixConfig, clean_tokens: int) -> dict[str, int]:
    """Tokens of every added source that make its share beside so many clean tokens."""
    together = sum(source.share for source in config.added.values())
    unit = clean_tokens / (1 - together) if config.share_of == "total" else clean_tokens
    return {name: max(1, round(source.share * unit)) for name, source in config.added.items()}


def allowed_error(tolerance: float, share: float) -> float:
    """How far a realised share may be from `share`, absolute."""
    return min(tolerance, SMALLEST_PART * share)


def slack_tokens(config: MixConfig, clean_tokens: int) -> dict[str, int]:
    """How many tokens each source may be off so that all shares stay within their tolerance, whatever the others do.

    Off by d_i, share i of the total moves by (d_i - share_i * sum of d) / total, hence the part for each source.
    """
    total = clean_tokens + sum(target_tokens(config, clean_tokens).values())
    unit = total / max(1, len(config.added)) if config.share_of == "total" else clean_tokens
    return {name: int(allowed_error(config.tolerance, source.share) * unit) for name, source in config.added.items()}


def realised_share(share_of: Literal["total", "clean"], tokens: int, clean_tokens: int, total_tokens: int) -> float:
    """The share that `tokens` of a source are, by the mix's definition."""
    return tokens / (total_tokens if share_of == "total" else clean_tokens)
