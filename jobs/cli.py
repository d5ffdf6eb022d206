"""The command line: `tokensieve VERB --config FILE [key=value ...]`.

Only typer is imported here, so that help is instant; a verb imports what it needs when it runs.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tokensieve.jobs.command.application import add_refresh, add_trace, add_verb
from tokensieve.jobs.command.run_verb import (
    ConfigOption,
    JsonOption,
    Overrides,
    ShowOption,
    finish,
    guard,
    load,
    session,
)
from tokensieve.jobs.command.verbs import (
    CLAUDE_VERBS,
    FIT,
    FIT_REPORT,
    LABEL,
    LABEL_VERBS,
    MAINTAIN_VERBS,
    MIX_VERBS,
    PRETRAIN_VERBS,
    SAE_VERBS,
    VERBS,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Token-level filtering of pretraining text: score, mask, export, train. One YAML file describes one corpus.",
)
pretrain_app = typer.Typer(no_args_is_help=True, help="Train: Megatron on exported shards, or an encoder.")
app.add_typer(pretrain_app, name="pretrain")
mix_app = typer.Typer(no_args_is_help=True, help="Mix shard sets at stated shares: one YAML file describes one mix.")
app.add_typer(mix_app, name="mix")
maintain_app = typer.Typer(no_args_is_help=True, help="Keep the tables of a nightly refresh small: with --dry-run.")
app.add_typer(maintain_app, name="maintain")
label_app = typer.Typer(no_args_is_help=True, help="Label documents by a policy: one YAML file describes one project.")
app.add_typer(label_app, name="label")
sae_app = typer.Typer(no_args_is_help=True, help="Weak labels from the latents of a sparse autoencoder.")
label_app.add_typer(sae_app, name="sae")
claude_app = typer.Typer(no_args_is_help=True, help="Labels from Claude, paid once, never over the budget.")
label_app.add_typer(claude_app, name="claude")


class _FitGroup(TyperGroup):
    """`tokensieve fit --config FILE` trains: where no subcommand is named, it is `recipe`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = not args or args[0] in self.commands or args[0] == "--help"
        return super().parse_args(ctx, args if named else ["recipe", *args])


fit_app = typer.Typer(cls=_FitGroup, no_args_is_help=True, help="Train a classifier bundle, or report on one.")
app.add_typer(fit_app, name="fit")


for _app, _verbs in (
    (app, VERBS),
    (fit_app, (FIT, FIT_REPORT)),
    (pretrain_app, PRETRAIN_VERBS),
    (mix_app, MIX_VERBS),
    (maintain_app, MAINTAIN_VERBS),
    (label_app, LABEL_VERBS),
    (sae_app, SAE_VERBS),
    (claude_app, CLAUDE_VERBS),
):
    for _verb in _verbs:
        add_verb(_app, _verb)
add_trace(app)
add_refresh(app)


@label_app.command()
def agree(
    a: Annotated[str, typer.Argument(help="A label set of the project.")],
    b: Annotated[str, typer.Argument(help="Another, taken as the truth in precision and recall.")],
    config: ConfigOption,
    overrides: Overrides = None,
    tokenizer: Annotated[str | None, typer.Option(help="Compare tokens too: a tokenizer.json or *.tiktoken.")] = None,
    by: Annotated[str, typer.Option(help="Figures by a column of the source.")] = "source_file",
    as_json: JsonOption = False,
    show_config: ShowOption = False,
) -> None:
    """Compare two label sets: F1, kappa, shares, and where they differ most."""
    loaded = load(config, overrides, show_config, LABEL)

    def run() -> dict[str, Any]:
        from tokensieve.jobs.errors import executor_errors
        from tokensieve.jobs.labelling.agree import run

        with executor_errors("label agree"):
            return run(loaded, session(loaded), a, b, tokenizer, by)

    finish(guard(run), as_json)


@pretrain_app.command("compare")
def compare_runs(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.")],
    as_json: JsonOption = False,
) -> None:
    """Print the losses of finished runs side by side."""

    def run() -> dict[str, Any]:
        from tokensieve.pretrain.evaluate.compare_runs import compare

        table = compare(runs)
        return table.as_dict() | {"lines": table.lines()}

    finish(guard(run), as_json)


@pretrain_app.command("launch")
def launch_run(
    config: ConfigOption,
    overrides: Overrides = None,
    submit: Annotated[bool, typer.Option("--submit", help="Write the files and start torchrun, or sbatch.")] = False,
    as_json: JsonOption = False,
    show_config: ShowOption = False,
) -> None:
    """Print the plan, the scripts and the command of a training run; start it with --submit."""
    loaded = load(config, overrides, show_config)

    def run() -> dict[str, Any]:
        from tokensieve.jobs.launch import launch

        return launch(loaded, submit)

    finish(guard(run), as_json)


@pretrain_app.command("convert")
def convert_run(
    run_folder: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    out_folder: Annotated[Path, typer.Argument(help="The Hugging Face folder to write: new or empty.")],
    tokenizer: Annotated[Path | None, typer.Option(help="The shards' tokenizer, where the run has no copy.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a trained model as a Hugging Face folder of a stock class, with its tokenizer."""

    def run() -> dict[str, Any]:
        from tokensieve.jobs.convert import run

        return run(run_folder, out_folder, tokenizer)

    finish(guard(run), as_json)


@app.command()
def doctor(
    config: ConfigOption = "demo",
    overrides: Overrides = None,
    as_json: JsonOption = False,
    show_config: ShowOption = False,
) -> None:
    """Check this machine, and say what to do about what is missing."""
    loaded = load(config, overrides, show_config)

    def run() -> dict[str, Any]:
        from tokensieve.jobs.doctor import run

        return run(loaded)

    result = guard(run)
    finish(result, as_json)
    if not result["ok"]:
        raise typer.Exit(1)


@fit_app.command("weak-to-strong")
def weak_to_strong(
    weak: Annotated[str, typer.Option(help="The recipe of the classifier that labels.")],
    strong: Annotated[str, typer.Option(help="The recipe of the classifier that learns from it.")],
    out: Annotated[Path, typer.Option(help="The folder of the three bundles and recovered_gap.json.")],
    overrides: Overrides = None,
    soft: Annotated[bool, typer.Option(help="Learn the weak one's probabilities instead of its decisions.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a strong classifier on a weak one's labels: how much of the gap between them is recovered?"""
    weak_recipe, strong_recipe = (load(file, overrides, show=False, model=FIT.model) for file in (weak, strong))

    def run() -> dict[str, Any]:
        from tokensieve.jobs.fit import weak_to_strong

        return weak_to_strong(weak_recipe, strong_recipe, out, soft)

    finish(guard(run), as_json)


def main() -> None:
    """Entry point of the `tokensieve` command."""
    app()


def task() -> None:
    """Entry point for Databricks' wheel tasks: these take any SystemExit for a failure, so only failures raise one."""
    code = app(standalone_mode=False)
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    main()
