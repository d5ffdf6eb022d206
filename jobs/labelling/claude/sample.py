"""Which texts of a source Claude is asked about: those of the lowest hash, so that the choice follows from content.

The chosen texts come to the driver, which is the only one that asks: 128,000 documents of FineWeb-Edu (the paper's
number) are about 1 GB there. Readable rows only; equal texts are one text.
"""

from typing import TYPE_CHECKING

from jobs.labelling.claude.settings import SampleConfig

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_BITS = 60


def sample(frame: "DataFrame", settings: SampleConfig) -> dict[str, str]:
    """Text by text hash, in the order of the sample, from a frame of DOCUMENT_SCHEMA.

    A text's place is the SHA-256 of the seed and its hash; `share` is a bound on that place, `limit` counts from its
    lowest. So a larger share or limit holds every smaller one, and what was paid for is asked about again for nothing.
    """
    from pyspark.sql import functions as F

    place = F.sha2(F.concat(F.lit(f"claude-sample/{settings.seed}/"), "text_hash"), 256)
    chosen = frame.where("note is null").select("text_hash", "text", place.alias("place"))
    if settings.share < 1:
        chosen = chosen.where(F.col("place") < f"{int(settings.share * 2**_BITS):0{_BITS // 4}x}")
    chosen = chosen.dropDuplicates(["text_hash"]).orderBy("place")
    if settings.limit is not None:
        chosen = chosen.limit(settings.limit)
    return {row["text_hash"]: row["text"] for row in chosen.select("text_hash", "text").toLocalIterator()}
