"""Names by content: what a policy, a rule, a bundle or a configuration is called follows from what it holds."""

import hashlib
import json


def content_id(content: object) -> str:
    """First 16 hex digits of the SHA-256 of canonical JSON (sorted keys, no spaces), so layout does not matter."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
