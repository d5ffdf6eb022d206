"""Which documents train, which choose thresholds, which are reported on: decided by content, never by position.

A document goes where its near-duplicate cluster goes, and copies of a text go together whatever the sidecar says of
them, so no text is in two splits, also when shards are reordered or a source holds a text twice.
"""

import numpy as np

from pretrain.classifier.labels import Documents, content_share


def unit_share(documents: Documents) -> np.ndarray:
    """A number in [0, 1) per document, one for all that must stay together: float64 [D].

    It is the hash of the document's cluster, else of its text; where copies of a text tie clusters together, the
    smallest one among them.
    """
    clusters = documents.clusters or [""] * len(documents)
    names = [f"cluster {name}" if name else text for name, text in zip(clusters, documents.texts, strict=True)]
    share_D = content_share(names)
    ties = [np.unique(hash_D, return_inverse=True)[1] for hash_D in (share_D, content_share(documents.texts))]
    while True:
        before_D = share_D
        for tie_D in ties:
            least_G = np.full(len(documents), np.inf)
            np.minimum.at(least_G, tie_D, share_D)
            share_D = least_G[tie_D]
        if (share_D == before_D).all():
            return share_D


def half_share(documents: Documents) -> np.ndarray:
    """Another such number, independent of `unit_share`: for halving documents that are already split, float64 [D]."""
    return content_share([f"half {share!r}" for share in unit_share(documents).tolist()])


def touches(documents: Documents, others: Documents) -> np.ndarray:
    """bool [D]: the document's text, or its cluster, is also among the others."""
    texts, clusters = set(others.texts), set(others.clusters or ()) - {""}
    own = documents.clusters or [""] * len(documents)
    return np.array([t in texts or c in clusters for t, c in zip(documents.texts, own, strict=True)], dtype=bool)
