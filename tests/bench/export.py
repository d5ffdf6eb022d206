"""Tokens/s per core: text and forget spans to a shard with its mask, against Megatron-LM's tools/preprocess_data.py.

Same documents, same GPT-2 files, same single core, one process per run, so that every run starts with cold caches.
CPU seconds count, since others may use the machine; interpreter start, imports and the tokenizer's loading do not
(Megatron: a run on one document is subtracted). Ours reads Arrow batches from memory, Megatron parses its JSONL.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from filecmp import cmp
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.bench.report import hardware, median, save, table
from tokensieve.pretrain.shards.shard import ShardWriter, token_dtype
from tokensieve.udfs.deciding.decide_rows import SPAN_TYPE
from tokensieve.udfs.deciding.pretrain_tokens import pretrain_tokens
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
BATCH_ROWS = 1000
SPAN_EVERY, SPAN = 1000, 60  # bytes: about 6 % of the text lies in forget spans


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: tokens written, seconds of one core, seconds on the clock."""

    tokens: int
    cpu_s: float
    wall_s: float


def documents(files: list[Path]) -> pa.Table:
    """doc_id, text and made-up forget spans of every document of the corpus's shards."""
    source = pa.concat_tables([pq.read_table(file, columns=["id", "text"]) for file in files]).combine_chunks()
    sizes = pc.call_function("binary_length", [source.column("text")]).to_pylist()
    spans = [
        [{"start": at, "end": at + SPAN, "policy": "bench"} for at in range(SPAN_EVERY - SPAN, size - SPAN, SPAN_EVERY)]
        for size in sizes
    ]
    columns = [source.column("id"), source.column("text"), pa.array(spans, pa.list_(SPAN_TYPE))]
    return pa.table(columns, names=["doc_id", "text", "forget_spans"])


def export(source: Path, tokenizer: Path, backend: str, prefix: Path) -> Run:
    """Our path in this process: batches in memory to a finished shard."""
    batches = pq.read_table(source).combine_chunks().to_batches(max_chunksize=BATCH_ROWS)
    loaded = ByteTokenizer.load(tokenizer, backend)  # type: ignore[arg-type]
    eod = loaded.token_id("<|endoftext|>") or 0
    wall, cpu = time.perf_counter(), time.process_time()
    with ShardWriter(prefix, token_dtype(loaded.vocab_size)) as writer:
        for batch in batches:
            tokens = pretrain_tokens(loaded, batch, frozenset(), eod, loaded.vocab_size)
            writer.add(tokens.ids_T, tokens.loss_mask_T, tokens.lengths_D)
        stats = writer.close()
    return Run(tokens=stats.tokens, cpu_s=time.process_time() - cpu, wall_s=time.perf_counter() - wall)


def ours(source: Path, backend: str, prefix: Path) -> Run:
    """`export` in a fresh process on the one core."""
    command = [sys.executable, "-m", "tests.bench.export", "--child", backend, str(source), str(prefix)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def megatron(checkout: Path, jsonl: Path, tokenizer: Path, prefix: Path, stand_ins: Path) -> Run:
    """One run of preprocess_data.py, its start included. Raises RuntimeError with its last words when it fails."""
    command = [sys.executable, "tools/preprocess_data.py", "--input", str(jsonl), "--output-prefix", str(prefix)]
    command += ["--tokenizer-type", "HuggingFaceTokenizer", "--tokenizer-model", str(tokenizer)]
    command += ["--tokenizer-hf-use-fast", "--append-eod", "--workers", "1", "--log-interval", "100000"]
    path = os.pathsep.join([str(checkout), str(stand_ins)])
    environment = os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=3600)
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    output = Path(f"{prefix}_text_document.bin")
    if done.returncode or not output.is_file():
        raise RuntimeError(f"{checkout}/tools/preprocess_data.py failed: {done.stderr.strip().splitlines()[-1]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(tokens=output.stat().st_size // token_dtype(50257).itemsize, cpu_s=cpu, wall_s=wall)


def prepare(folder: Path, files: list[Path]) -> tuple[Path, Path]:
    """The inputs of both: a Parquet file, a JSONL with the same texts (and one of its first document), a tokenizer."""
    source, tokenizer = documents(files), ByteTokenizer.load(DATA / "tokenizer")
    pq.write_table(source, folder / "source.parquet")
    lines = [json.dumps({"text": text}) + "\n" for text in source.column("text").to_pylist()]
    (folder / "source.jsonl").write_text("".join(lines))
    (folder / "first.jsonl").write_text(lines[0])
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_bytes(tokenizer.data)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 10**12}
    config |= dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(config))
    # preprocess_data.py imports six, for its BERT tokenizer alone; an empty module stands in where it is missing.
    (folder / "stand_ins").mkdir()
    if find_spec("six") is None:
        (folder / "stand_ins" / "six.py").write_text("")
    return folder / "source.parquet", folder / "tokenizer"


def measure(folder: Path, files: list[Path], checkout: Path | None, rounds: int) -> dict[str, list[Run]]:
    """All runs, the sides taking turns. Raises RuntimeError when the two write other tokens."""
    source, tokenizer = prepare(folder, files)
    runs: dict[str, list[Run]] = {}
    for _ in range(rounds):
        for backend in ("gigatoken", "tiktoken", "tokenizers"):
            runs.setdefault(backend, []).append(ours(source, backend, folder / "ours"))
        if checkout is not None:
            both = (tokenizer, folder / "theirs", folder / "stand_ins")
            start = megatron(checkout, folder / "first.jsonl", *both)
            whole = megatron(checkout, folder / "source.jsonl", *both)
            net = Run(tokens=whole.tokens, cpu_s=whole.cpu_s - start.cpu_s, wall_s=whole.wall_s - start.wall_s)
            runs.setdefault("megatron", []).append(net)
            for suffix in (".bin", ".idx"):
                if not cmp(folder / f"ours{suffix}", folder / f"theirs_text_document{suffix}", shallow=False):
                    raise RuntimeError(f"our {suffix} and Megatron's differ: the two do not do the same work")
    return runs


def main() -> None:
    """Runs the bench, prints a table and writes out/bench/export.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megatron", default=os.environ.get("MEGATRON_LM"), help="a checkout of Megatron-LM")
    parser.add_argument("--files", default="heldout-*-of-*.parquet", help="shards of the corpus, a glob")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if given.child:
        backend, source, prefix = given.child
        print(json.dumps(asdict(export(Path(source), DATA / "tokenizer", backend, Path(prefix)))))
        return
    machine, files = hardware(), sorted((DATA / "corpus").glob(given.files))
    with tempfile.TemporaryDirectory() as folder:
        runs = measure(Path(folder), files, Path(given.megatron).absolute() if given.megatron else None, given.rounds)
    speed = {name: median([run.tokens / run.cpu_s for run in some]) for name, some in runs.items()}
    wall = {name: median([run.tokens / run.wall_s for run in some]) for name, some in runs.items()}
    ratios = {f"{name}_over_tokenizers": speed[name] / speed["tokenizers"] for name in ("gigatoken", "tiktoken")}
    if "megatron" in speed:
        ratios["export_over_megatron"] = speed["gigatoken"] / speed["megatron"]
        ratios["export_over_megatron_wall"] = wall["gigatoken"] / wall["megatron"]
    else:
        print("no row for Megatron: give --megatron PATH or MEGATRON_LM, a checkout of Megatron-LM core_v0.16.1")
    rows = [(name, runs[name][0].tokens, speed[name] / 1e6, wall[name] / 1e6) for name in speed]
    print(table(("path", "tokens", "M tokens/s of CPU", "M tokens/s of clock"), rows))
    print(table(("ratio", "value"), list(ratios.items())))
    print(save("export", ratios, machine, {name: [asdict(run) for run in some] for name, some in runs.items()}))


if __name__ == "__main__":
    main()
