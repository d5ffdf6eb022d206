"""Plays Claude for our own prompts: reads the fenced data and the question after it, and answers as it is asked to.

    fake.answer = Labeller(lambda text: "aspirin" in text)

What it is asked about is kept in `asked`, so that a test can say what was sent.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_BLOCK = re.compile(r"<(\w+)-([0-9a-f]{12})>\n(.*?)\n</\1-\2>", re.DOTALL)
_CODES = re.compile(r"code word\s+`(\w+)` if .*?, `(\w+)` if it does not")
_MEDICAL = re.compile(
    r"aspirin|patient|headache|metformin|nausea|chest pain|electrocardiogram|meningitis|ceftriaxone|glomerulus"
    r"|influenza|oseltamivir|pacemaker",
    re.IGNORECASE,
)


def medical(text: str) -> bool:
    """Judges the canaries of the policy `medicine` rightly, injected or not, and the corpora of these tests."""
    return bool(_MEDICAL.search(text))


@dataclass
class Labeller:
    """`forget` judges a text; `instead` maps words to what is replied to a request whose data holds them."""

    forget: Callable[[str], bool] = medical
    instead: Mapping[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, params: dict[str, Any]) -> str:
        user = params["messages"][0]["content"]
        blocks = {name: text for name, _, text in _BLOCK.findall(user)}
        self.asked.append(blocks)
        for word, reply in self.instead.items():
            if any(word in text for text in blocks.values()):
                return reply
        ask = user[user.rindex(">\n") :]
        return json.dumps(self._answer(blocks, ask, params["output_config"]["format"]["schema"]))

    def _answer(self, blocks: dict[str, str], ask: str, schema: dict[str, Any]) -> dict[str, Any]:
        if "sentences" in blocks:
            texts = [line.split("] ", 1)[1] for line in blocks["sentences"].splitlines()]
            return {"forget": [number for number, text in enumerate(texts, 1) if self.forget(text)]}
        if "features" in blocks:
            return self._features(blocks["features"], ask, schema)
        words = _CODES.search(ask)
        assert words is not None, ask
        text = next(text for name, text in blocks.items() if name != "context")
        return {"answer": words[1] if self.forget(text) else words[2]}

    def _features(self, data: str, ask: str, schema: dict[str, Any]) -> dict[str, Any]:
        parts = [part.splitlines() for part in re.split(r"^(?=Feature \d+:)", data, flags=re.MULTILINE)[1:]]
        features = [(number, head, lines) for number, (head, *lines) in enumerate(parts, 1)]
        if "active" in str(schema):  # it is active where a word of the explanation is
            named = [set(head.split(": ", 1)[1].split()) for _, head, _ in features]
            found = [
                [at for at, line in enumerate(lines, 1) if named[number - 1] & set(line.split())]
                for number, _, lines in features
            ]
            return {"features": [{"number": number, "active": found[number - 1]} for number, _, _ in features]}
        if "description" in str(schema):  # the marked words
            marked = {number: sorted(set(re.findall("<<(.*?)>>", " ".join(lines)))) for number, _, lines in features}
            return {"features": [{"number": number, "description": " ".join(marked[number])} for number in marked]}
        words = _CODES.search(ask)
        assert words is not None, ask
        listed = []
        for number, _, lines in features:
            reason = {"reason": f"{len(lines)} contexts"} if "reason" in str(schema) else {}
            answer = words[1] if self.forget(" ".join(lines)) else words[2]
            listed.append({"number": number, **reason, "answer": answer})
        return {"latents": listed}
