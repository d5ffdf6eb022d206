"""The report over a small corpus with hostile documents: what it counts, what it shows, and that nothing on it runs."""

import re
import shutil
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from tests.browser import opened
from tests.jobs.capitals import capitals_config, run_verbs, write_documents
from tokensieve.jobs import mask, report
from tokensieve.jobs.exporting.read_back import Shards
from tokensieve.jobs.pages.corpus.gather import score_counts
from tokensieve.jobs.pages.corpus.sample import exported_sample, read_rows
from tokensieve.jobs.pages.html import visible

HOSTILE_ID = '<b onclick="alert(0)">\'&'
HOSTILE = (
    "<script>alert(1)</script></title></style><img src=x onerror=\"document.title='pwned'\"> 'single' & NUL\0 "
    "\u202eREVERSED\u202c \x1b[31m 👩‍⚕️ é \ufffd end"
)
DOCUMENTS = {
    HOSTILE_ID: HOSTILE,
    "calm": "nothing here is loud, so nothing is forgotten.",
    "loud": "the word PENICILLIN is loud, and so is DNA, the rest is not.",
    "emoji": "a nurse 👩‍⚕️ and ŽLUŤOUČKÝ KŮŇ in one line",
    "shout": "ALL OF THIS IS LOUD",
    "long": "quiet words go on and on. " * 60 + "then FINALLY it is loud. " + "quiet again. " * 60,
    "empty": "",
    "nothing": None,
}
CAPITALS = sum(letter.isascii() and letter.isupper() for text in DOCUMENTS.values() for letter in text or "")
BYTES = sum(len((text or "").encode()) for text in DOCUMENTS.values())


class Page(HTMLParser):
    """What a browser would make of the page: elements, text, and the spans of every sample document."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.samples: dict[str, list[SimpleNamespace]] = {}
        self._sample: str | None = None
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "div":
            self._sample = dict(attrs).get("id")
        if tag == "span" and self._sample:
            found = dict(attrs)
            run = SimpleNamespace(kind=found.get("class", ""), tokens=int(found.get("data-tokens") or 1), text="")
            self.samples.setdefault(self._sample, []).append(run)

    def handle_endtag(self, tag):
        if tag == "div":
            self._sample = None

    def handle_data(self, data):
        self.text.append(data)
        if self._sample and self.samples.get(self._sample):
            self.samples[self._sample][-1].text += data


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, repository, spark):
    """A finished corpus and the parsed page about it."""
    folder = tmp_path_factory.mktemp("report")
    write_documents(folder / "source", DOCUMENTS)
    config = capitals_config(folder, repository, "report.documents=20", "report.tokens_per_document=150")
    run_verbs(config, spark)
    result = report.run(config, spark)
    content = (config.tables.folder / "report.html").read_text(encoding="utf-8")
    return SimpleNamespace(config=config, result=result, content=content, page=Page(content))


def samples_by_id(corpus) -> dict[str, list[SimpleNamespace]]:
    """The runs of every sample by its heading, escaped as it is in the page."""
    ids = re.findall(r"<summary>.*?<code>(.*?)</code>", corpus.content, re.S)
    return {doc_id: corpus.page.samples.get(f"d{at}", []) for at, doc_id in enumerate(ids)}


def test_the_counts_are_those_of_the_tables_and_of_the_manifest(corpus):
    manifest = Shards(corpus.config.shards).manifest
    assert corpus.result["documents"] == {"in": 8, "keep": 2, "mask": 4, "hide": 0, "drop": 1, "quarantine": 1}
    assert corpus.result["reasons"] == {"null_text": 1}
    assert (corpus.result["tokens"], corpus.result["loss_tokens"]) == (manifest.tokens, manifest.loss_tokens)
    assert corpus.result["samples"] == 7
    assert corpus.result["path"] == str(corpus.config.tables.folder / "report.html")
    assert corpus.result["bytes"] == len(corpus.content.encode())


def test_the_histogram_has_every_classifier_token_once(corpus, spark):
    counts = score_counts(corpus.config.tables.table("scores").read(spark), ["capitals"])["capitals"]
    assert counts.tokens_B.nonzero()[0].tolist() == [64, 192]  # logits -4 and 4
    assert counts.tokens_B[[64, 192]].tolist() == [BYTES - CAPITALS, CAPITALS]
    assert (int(counts.documents_B.sum()), counts.unscored) == (6, 1)
    assert corpus.result["classifier_tokens"] == {"capitals": BYTES}
    assert f"{CAPITALS / BYTES:.2%} of tokens at or above" in corpus.content


def test_tokens_by_source_sum_to_the_manifest(corpus, spark):
    facts = report.gather(corpus.config, spark)
    assert facts.export is not None
    assert [source.file for source in facts.sources] == ["part-0.parquet"]
    for source in (*facts.sources, facts.total):
        assert (source.documents, source.dropped, source.touched, source.text_bytes) == (7, 1, 5, BYTES)
        assert (source.tokens, source.loss_tokens) == (facts.export.tokens, facts.export.loss_tokens)


def test_the_page_has_no_script_no_handler_no_link_and_a_strict_policy(corpus):
    tags = {tag for tag, _ in corpus.page.elements}
    assert tags.isdisjoint({"script", "img", "iframe", "object", "embed", "link", "a", "form", "base"})
    names = {name for _, attributes in corpus.page.elements for name in attributes}
    assert {name for name in names if name.startswith("on") or name in ("src", "href", "action")} == set()
    policies = [a["content"] for tag, a in corpus.page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"]
    assert "http://" not in corpus.content
    assert "https://" not in corpus.content


def test_hostile_text_is_shown_as_text_with_its_controls_visible(corpus):
    shown = samples_by_id(corpus)["&lt;b onclick=&quot;alert(0)&quot;&gt;&#x27;&amp;"]
    assert "".join(run.text for run in shown) == visible(HOSTILE) + "<|endoftext|>"
    assert "␀" in visible(HOSTILE)
    assert "⟨U+202E⟩REVERSED⟨U+202C⟩" in visible(HOSTILE)
    assert re.search("[\x00-\x08\x0e-\x1f\u202a-\u202e]", corpus.content) is None


def test_the_coloured_tokens_are_the_loss_mask_of_the_shard(corpus, spark):
    shards = Shards(corpus.config.shards)
    found = samples_by_id(corpus)
    for doc_id in ("loud", "calm", "empty"):
        mask_T = shards.read(shards.places(spark, [doc_id])[doc_id]).loss_mask_T
        coloured = np.repeat([run.kind == "" for run in found[doc_id]], [run.tokens for run in found[doc_id]])
        assert coloured.tolist() == mask_T.astype(bool).tolist()
    forgotten = "".join(run.text for run in found["loud"] if run.kind == "n")
    assert forgotten.replace(" ", "") == "PENICILLINDNA"


def test_tokens_that_share_a_character_are_shown_together_and_never_garbled(corpus):
    found = samples_by_id(corpus)["emoji"]
    assert "".join(run.text for run in found) == DOCUMENTS["emoji"] + "<|endoftext|>"
    assert any(run.tokens > 1 for run in found)


def test_a_long_document_is_cut_around_its_first_forgotten_token_and_says_so(corpus):
    found = samples_by_id(corpus)["long"]
    text = "".join(run.text for run in found)
    assert sum(run.tokens for run in found) == 150
    assert "then FINALLY" in text
    assert "ALLY" in "".join(run.text for run in found if run.kind == "n")
    assert re.search(r"Shown: tokens [\d,]+ to [\d,]+ of [\d,]+\.", corpus.content)


def test_a_dropped_document_shows_its_spans(corpus):
    found = samples_by_id(corpus)["shout"]
    assert [run.text for run in found if run.kind == "n"] == ["ALL", "OF", "THIS", "IS", "LOUD"]
    assert [run.text for run in found if run.kind == ""] == [" ", " ", " ", " "]
    assert "dropped: in no shard; 15 of 19 bytes in forget spans" in corpus.content


def test_the_same_tables_give_the_same_bytes(corpus, spark):
    report.run(corpus.config, spark)
    assert (corpus.config.tables.folder / "report.html").read_text(encoding="utf-8") == corpus.content


def test_without_shards_the_page_says_so_and_shows_the_masked_table(corpus, repository, spark, tmp_path):
    shutil.copytree(corpus.config.tables.folder, tmp_path / "tables")
    shutil.rmtree(tmp_path / "tables" / "shards")
    config = corpus.config.model_copy(
        update={"tables": corpus.config.tables.model_copy(update={"root": str(tmp_path / "tables")})}
    )
    result = report.run(config, spark)
    assert (result["tokens"], result["samples"]) == (None, 7)
    content = (tmp_path / "tables" / "report.html").read_text(encoding="utf-8")
    assert "There are no shards yet" in content
    assert "PENICILLIN" in content


def test_hidden_tokens_are_marked_and_older_shards_are_called_out(corpus, repository, spark, tmp_path):
    shutil.copytree(corpus.config.tables.folder, tmp_path / "tables")
    write_documents(tmp_path / "source", {"unused": "x"})
    config = capitals_config(
        tmp_path,
        repository,
        f"source.path={corpus.config.source.path}",
        f"policies.capitals.bundle={corpus.config.policies['capitals'].bundle}",
        "policies.capitals.rule.action=hide",
    )
    mask.run(config, spark)
    report.run(config, spark)
    assert "not made from this masked table" in (tmp_path / "tables" / "report.html").read_text(encoding="utf-8")

    run_verbs(config, spark, ["export"])
    shards = Shards(config.shards)
    scores, masked = (config.tables.table(name).read(spark) for name in ("scores", "masked"))
    (row,) = read_rows(scores, masked, ["capitals"], "text", ["loud"])
    sample = exported_sample(row, shards.read(shards.places(spark, ["loud"])["loud"]), shards, 400)
    hidden = [run for run in sample.runs if run.hidden]
    assert {run.text for run in hidden} == {"<|hidden|>"}
    assert {run.loss for run in hidden} == {"none"}
    assert {run.title for run in hidden} <= {"capitals 0.982", "capitals 0.018 to 0.982"}


def test_in_a_real_browser_nothing_runs_and_the_tokens_are_the_same(corpus, tmp_path):
    content = opened(corpus.config.tables.folder / "report.html", tmp_path)
    seen = Page(content)
    assert seen.samples == corpus.page.samples
    assert content.count("<title>tokensieve: ") == 1
    assert {tag for tag, _ in seen.elements}.isdisjoint({"script", "img"})
