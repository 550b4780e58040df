"""The engine in a shell: `python -m explorer profile|compress|sensitivity|evaluate|latency|serve`.

Once installed, `compression-explorer` is the same. With `--json` one JSON object goes to standard
output, else a table; progress goes to standard error. Exit status 0, or 2 with one sentence on
standard error.
"""

import argparse
import io
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from explorer.description import Relabelling, Scoring
from explorer.errors import ExplorerError, OutputError, RecipeError, reason_of
from explorer.events import (
    Bought,
    Encoded,
    Event,
    Planned,
    Probed,
    ProbesCounted,
    Relabelled,
    Scored,
    Timed,
    newest,
    report_of,
    require,
)
from explorer.findings import Sensitivity
from explorer.metrics import CHOICES, METRICS
from explorer.names import cleaned
from explorer.recipe import AIMS, CRITERIA, PATTERNS, Recipe, check_aim
from explorer.render.text import (
    FLAG_NAMES,
    plan_table,
    relabelling_sentence,
    report_table,
    sensitivity_table,
    spent_table,
)
from explorer.report import Plan, Quality, Report

if TYPE_CHECKING:
    from explorer.formats.data import Dataset
    from explorer.model import Model
    from explorer.pipeline import Opened

EXIT_OK, EXIT_USER_ERROR = 0, 2
MOST_THREADS = 256
MOST_POINTS = 100
PORTS = range(1, 2**16)
COMMAND = "compression-explorer"
METRIC_HELP = f"quality metric: {', '.join(CHOICES)}; by default the one that fits"
ALIGNMENT_HELP = "channel alignment: the remaining channels are a multiple of N"
WIDTHS_HELP = "also prune the hidden (residual) dimension"
# Options that name a file to read.
INPUTS = ("model", "data", "calibration", "recipe", "reference", "against")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a pipe may have no − and no µ
    try:
        options = _parser().parse_args(arguments)
        _check_inputs(options)
        command: Callable[[argparse.Namespace], dict[str, Any]] = options.command
        result = command(options)
        text = json.dumps(_finite(result), allow_nan=False) if options.json else result["table"]
        return _print(text)
    except ExplorerError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return EXIT_USER_ERROR
    except MemoryError:
        print("There isn't enough memory for this model on this machine.", file=sys.stderr)
        return EXIT_USER_ERROR


def _finite(value: Any) -> Any:
    """The same with null for numbers that JSON doesn't know."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(text: str) -> int:
    """Write the result; a reader that has gone away is no mistake."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing left to flush
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"The result can't be printed: {error.strerror}.") from error
    return EXIT_OK


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one sentence."""

    def error(self, message: str) -> NoReturn:
        raise RecipeError(f"{message[:1].upper()}{message[1:]}; {self.prog} --help tells more.")


def _parser() -> argparse.ArgumentParser:
    name = COMMAND if Path(sys.argv[0]).stem == COMMAND else "python -m explorer"
    parser = _Parser(prog=name, description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    _add(commands, "profile", _profile, "count parameters, MACs, sizes and peak activation memory")
    compress = _add(commands, "compress", _compress, "prune and quantize a model")
    _add_compress_options(compress)
    about = "measure the sensitivity of each layer and channel group, one by one"
    sensitivity = _add(commands, "sensitivity", _sensitivity, about)
    add = sensitivity.add_argument
    add("--data", required=True, metavar="EVAL.npz", help="samples, and labels y")
    add("--calibration", metavar="C.npz", help="unlabelled samples; by default those of --data")
    add("--metric", metavar="NAME", help=METRIC_HELP)
    add("--no-compensate", action="store_true", help="without weight reconstruction")
    add("--round-to", type=int, metavar="N", help=ALIGNMENT_HELP)
    add("--widths", action="store_true", help=WIDTHS_HELP)
    add("--seed", type=int, metavar="S", help="random seed")
    add("--spend", type=float, metavar="PP", help="accuracy budget: generate a recipe within it")
    add("--on", metavar="WHAT", help=f"what to minimize: {', '.join(AIMS)}; default size")
    add("--save-recipe", metavar="R.json", help="where to write that recipe, for compress --recipe")
    evaluate = _add(commands, "evaluate", _evaluate, "score a model on data")
    evaluate.add_argument("--data", required=True, metavar="EVAL.npz", help="samples, and labels y")
    evaluate.add_argument("--reference", metavar="ORIGINAL", help="model to compare with")
    evaluate.add_argument("--metric", metavar="NAME", help=METRIC_HELP)
    latency = _add(commands, "latency", _latency, "time one inference")
    latency.add_argument("--against", metavar="ORIGINAL", help="model to compare with")
    latency.add_argument("--threads", type=int, default=1, metavar="N", help="default 1")
    serve = commands.add_parser("serve", help="start the web app", description="start the web app")
    serve.add_argument("--port", type=int, metavar="P", help="where it listens; default 8501")
    serve.set_defaults(command=_serve)
    return parser


def _add(
    commands: Any, name: str, command: Callable[[argparse.Namespace], dict[str, Any]], about: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    parser.add_argument("model", metavar="MODEL", help="an ONNX file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--input-size",
        action="append",
        default=[],
        type=_input_size,
        metavar="NAME=1,3,320,320",
        help="the shape of an input, batch included, where the file leaves dimensions open; "
        "once for each input",
    )
    parser.set_defaults(command=command)
    return parser


def _input_size(text: str) -> tuple[str, tuple[int, ...]]:
    """The name of an input and its shape."""
    name, _, shape = text.rpartition("=")
    if not name or not re.fullmatch(r"\d{1,10}(,\d{1,10})*", shape):
        raise argparse.ArgumentTypeError(
            f"{text!r} isn't the name and the shape of an input, such as image=1,3,320,320"
        )
    return name, tuple(int(size) for size in shape.split(","))


def _add_compress_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--out", required=True, metavar="OUT.onnx", help="where to write the result")
    add("--recipe", metavar="R.json", help="a recipe; the options below override it")
    add("--pattern", help=f"pruning: {', '.join(PATTERNS)}")
    add("--ratio", type=float, metavar="R", help="pruning ratio of channels or weights, in [0, 1)")
    add("--scope", help="of the pruning ratio: global or layer")
    add("--criterion", metavar="NAME", help=f"pruning criterion: {', '.join(CRITERIA)}")
    add("--round-to", type=int, metavar="N", help=ALIGNMENT_HELP)
    add("--weight-bits", type=int, metavar="BITS", help="32, 16, or 8 to 2")
    add("--bits-scope", help="layer, or global: mixed precision, weight bits are an average")
    add("--activation-bits", type=int, metavar="BITS", help="32 or 8")
    add("--calibration", metavar="C.npz", help="unlabelled samples")
    add("--no-compensate", action="store_true", help="without weight reconstruction")
    add("--data", metavar="EVAL.npz", help="score original and result on this")
    add("--metric", metavar="NAME", help=METRIC_HELP)
    add("--keep-metadata", action="store_true", help="keep exporter metadata of nodes and tensors")
    add("--short-names", action="store_true", help="give tensors and nodes short names")
    add("--latency", action="store_true", help="time original and result")
    add("--widths", action="store_true", help=WIDTHS_HELP)
    add("--seed", type=int, metavar="S", help="random seed")


def _load(path: str, options: argparse.Namespace) -> "Model":
    """A model at the input sizes that were asked for, after saying what was not done with it."""
    from explorer import load  # noqa: PLC0415 - loaded when needed

    model = load(path, input_sizes=dict(options.input_size))
    for remark in model.remarks:
        _progress(remark)
    return model


def _profile(options: argparse.Namespace) -> dict[str, Any]:
    from explorer import profile  # noqa: PLC0415 - loaded when needed

    model = _load(options.model, options)
    report = Report(model.id, model.name, profile(model))
    return report.to_dict() if options.json else {"table": report_table([report])}


def _compress(options: argparse.Namespace) -> dict[str, Any]:
    from explorer import pipeline  # noqa: PLC0415 - loaded when needed

    _check_output(Path(options.out), options)
    recipe = _recipe(options)
    opened = _opened(options)
    for remark in _remarks(recipe, options):
        _progress(remark)
    place, watch = pipeline.Here(), _Watch()
    wanted = pipeline.Wanted(first=False, timed=options.latency, unreconstructed=False)
    done = tuple(pipeline.run(opened, recipe, place, watch, wanted))
    artifact, planned = require(done, Encoded).artifact, require(done, Planned).plan
    reason = artifact.not_compensated
    if reason is not None and recipe.compensate and not recipe.is_identity:
        _progress(f"without weight reconstruction: {reason}")
    before = (*pipeline.introduce(opened), *_score_original(opened, watch))
    timed = newest(done, Timed)
    if timed is not None:  # of one measurement, run by run
        before = (*before, Timed(timed.latency.of_reference()))
    reports = [
        report_of(opened.model.id, opened.model.name, before),
        report_of(artifact.model_id, artifact.name, done),
    ]
    assert place.model is not None  # the pipeline has kept it
    place.model.save(options.out)
    if options.json:
        return _compressed_json(reports, planned)
    return {"table": f"{report_table(reports)}\n\n{plan_table(planned)}"}


def _opened(options: argparse.Namespace, calibrates_on_data: bool = False) -> "Opened":
    """The model with the samples that the options name; what was assumed is said."""
    from explorer.pipeline import Opened  # noqa: PLC0415 - loaded when needed

    model = _load(options.model, options)
    data = scoring = calibration = None
    if options.data:
        data = _data(options.data, model)
        model = _at_size(model, data, options)
    elif options.metric is not None:
        raise RecipeError("--metric is for a model that is scored; add --data.")
    if options.calibration:
        calibration = _data(options.calibration, model)
    elif calibrates_on_data:
        calibration = data
    if data is not None:
        scoring = _scoring(model, data, options)
    metric = scoring.metric if scoring is not None else None
    return Opened(model, data, calibration, metric=metric, scoring=scoring)


def _score_original(opened: "Opened", watch: "_Watch") -> tuple[Event, ...]:
    """The original's quality; doubts about it or the labels go to standard error."""
    from explorer import pipeline  # noqa: PLC0415 - loaded when needed

    events = tuple(pipeline.score(opened, opened.model, watch, first=False, beside_itself=True))
    scored, relabelled = newest(events, Scored), newest(events, Relabelled)
    if scored is not None and opened.scoring is not None:
        found = relabelled.relabelling if relabelled is not None else None
        _tell_doubts(opened.model, opened.scoring, found, scored.quality)
    return events


class _Watch:
    """A `pipeline.Watch` that prints each step once; Control-C stops the work by itself."""

    def __init__(self) -> None:
        self._step = ""

    def progress(self, fraction: float, text: str) -> None:
        if text != self._step:
            _progress(text)
        self._step = text

    def check(self) -> None:
        """Go on."""


def _remarks(recipe: Recipe, options: argparse.Namespace) -> list[str]:
    """What of the request has no effect, or not everywhere."""
    remarks = []
    if recipe.ratio and not recipe.prunes_by_ratio:
        remarks.append(f"the ratio has no effect with pattern {recipe.pattern!r}")
    if recipe.prunes_by_ratio and not recipe.ratio and not recipe.layers:
        remarks.append(f"pattern {recipe.pattern!r} prunes nothing at a ratio of 0")
    own = sum(choice.weight_bits is not None for choice in recipe.layers)
    if options.weight_bits is not None and own:
        layers = "1 layer keeps" if own == 1 else f"{own} layers keep"
        remarks.append(f"{layers} the weight bits that the recipe gives")
    if options.bits_scope == "global" and not recipe.spreads_bits:
        remarks.append(f"mixed precision has no effect at {recipe.weight_bits} weight bits")
    return remarks


def _compressed_json(reports: list[Report], planned: Plan) -> dict[str, Any]:
    return {
        "original": reports[0].to_dict(),
        "compressed": reports[1].to_dict(),
        "plan": planned.to_dict(),
    }


def _evaluate(options: argparse.Namespace) -> dict[str, Any]:
    from explorer import evaluate, profile  # noqa: PLC0415
    from explorer.measure.quality import suggest_relabelling  # noqa: PLC0415

    model = _load(options.model, options)
    reference = _load(options.reference, options) if options.reference else None
    data = _data(options.data, model)
    model = _at_size(model, data, options)
    original = reference or model
    scoring = _scoring(original, data, options)
    quality = evaluate(model, data, reference, metric=scoring.metric)
    found = suggest_relabelling(original, data, scoring.metric)
    _tell_doubts(original, scoring, found, None if reference else quality)
    report = Report(model.id, model.name, profile(model), quality=quality)
    return report.to_dict() if options.json else {"table": report_table([report])}


def _data(path: str, model: "Model") -> "Dataset":
    """Samples from a file; what was assumed about them goes to standard error."""
    from explorer.formats.data import load_data  # noqa: PLC0415
    from explorer.measure.sample_axis import row_notes  # noqa: PLC0415

    data = load_data(path, model)
    for note in (*data.notes, *row_notes(model, data)):
        print(note, file=sys.stderr)
    return data


def _at_size(model: "Model", data: "Dataset", options: argparse.Namespace) -> "Model":
    """The model at the size of the samples, where no sizes were set."""
    from explorer.measure.sample_axis import sample_sizes  # noqa: PLC0415

    sizes = {} if options.input_size else sample_sizes(model, data)
    return model.with_changes(input_sizes=sizes) if sizes else model


def _scoring(original: "Model", data: "Dataset", options: argparse.Namespace) -> Scoring:
    """What quality is measured by; which one was chosen, and why, goes to standard error."""
    from explorer.measure.quality import check_labels  # noqa: PLC0415

    scoring = check_labels(original, data, options.metric)
    if data.labels is not None:
        print(f"metric: {METRICS[scoring.metric].noun}, {scoring.reason}", file=sys.stderr)
    return scoring


def _tell_doubts(
    original: "Model", scoring: Scoring, found: Relabelling | None, quality: Quality | None
) -> None:
    """Say on standard error where labels seem numbered otherwise, or the original only guesses."""
    from explorer.render.insights import class_count, guessing  # noqa: PLC0415

    if found is not None:
        print(relabelling_sentence(asdict(found)), file=sys.stderr)
    elif quality is not None:
        classes = class_count(original.outputs[scoring.output].shape)
        for sentence in guessing(asdict(quality), classes):
            print(sentence, file=sys.stderr)


def _sensitivity(options: argparse.Namespace) -> dict[str, Any]:
    from explorer import pipeline  # noqa: PLC0415 - loaded when needed
    from explorer.model import write_atomically  # noqa: PLC0415

    _check_spending(options)
    base = Recipe(compensate=not options.no_compensate, widths=options.widths)
    given = {"round_to": options.round_to, "seed": options.seed}
    base = replace(base, **{name: value for name, value in given.items() if value is not None})
    opened, watch = _opened(options, calibrates_on_data=True), _Watch()
    before = (*pipeline.introduce(opened), *_score_original(opened, watch))
    report = report_of(opened.model.id, opened.model.name, before)
    found = list(_probed(pipeline.sensitivity(opened, base, watch)))
    rows = [each.to_dict() for each in found]
    answer, tables = {**report.to_dict(), "sensitivity": rows}, [sensitivity_table(report, found)]
    if options.spend is not None:
        events = tuple(pipeline.buy(opened, base, found, options.spend, _aim(options), watch))
        spent = require(events, Bought).spent
        if options.save_recipe:
            _progress(f"writing {options.save_recipe}")
            write_atomically(Path(options.save_recipe), spent.recipe.to_json().encode())
        answer["spent"] = spent.to_dict()
        tables.append(spent_table(spent))
    return answer if options.json else {"table": "\n\n".join(tables)}


def _probed(events: Iterable[Event]) -> Iterator[Sensitivity]:
    """The sensitivities as they come, counted on standard error."""
    count = number = 0
    for event in events:
        if isinstance(event, ProbesCounted):
            count = event.count
        elif isinstance(event, Probed):
            number += 1
            _progress(f"{number} of {count}")
            yield event.sensitivity


def _aim(options: argparse.Namespace) -> str:
    """What to minimize."""
    return AIMS[0] if options.on is None else str(options.on)


def _check_spending(options: argparse.Namespace) -> None:
    """Fail before the work, not after it."""
    if options.spend is None:
        for name, given in (("--on", options.on), ("--save-recipe", options.save_recipe)):
            if given is not None:
                raise RecipeError(f"{name} is for an accuracy budget; add --spend.")
        return
    if not 0 < options.spend <= MOST_POINTS:  # NaN fails the comparison too
        raise RecipeError(
            f"The accuracy budget is {options.spend:.10g}; it must be above 0 and at most "
            f"{MOST_POINTS}."
        )
    check_aim(_aim(options))
    if options.save_recipe is not None:
        _check_output(Path(options.save_recipe), options)


def _latency(options: argparse.Namespace) -> dict[str, Any]:
    from explorer import measure_latency, profile  # noqa: PLC0415

    if not 1 <= options.threads <= MOST_THREADS:
        raise RecipeError(
            f"The number of threads is {options.threads}; it must be at least 1 and at most "
            f"{MOST_THREADS}."
        )
    model = _load(options.model, options)
    reference = _load(options.against, options) if options.against else None
    latency = measure_latency(model, reference, options.threads)
    report = Report(model.id, model.name, profile(model), latency=latency)
    return report.to_dict() if options.json else {"table": report_table([report])}


def _serve(options: argparse.Namespace) -> NoReturn:
    """Become the web app's server."""
    given = options.port is not None
    if given and options.port not in PORTS:
        raise RecipeError(f"The port is {options.port}; it must be at least 1 and at most 65535.")
    package = Path(__file__).parent
    installed = package / "webapp" / "app.py"
    app = installed if installed.exists() else package.parent / "app.py"
    port = ["--server.port", str(options.port)] if given else []
    # -P: a folder named explorer where the command is called doesn't stand before the package.
    command = [sys.executable, "-P", "-m", "streamlit", "run", str(app), *port]
    os.execv(sys.executable, command)  # noqa: S606 - our own interpreter and script


def _recipe(options: argparse.Namespace) -> Recipe:
    recipe = Recipe()
    if options.recipe:
        try:
            recipe = Recipe.from_json(Path(options.recipe).read_bytes())
        except (OSError, ValueError) as error:
            reason = reason_of(error)
            raise RecipeError(f"The recipe {options.recipe} can't be read: {reason}.") from error
    given = {name: value for name in FLAG_NAMES if (value := getattr(options, name)) is not None}
    if options.no_compensate:
        given["compensate"] = False
    if options.widths:
        given["widths"] = True
    if options.keep_metadata:
        given["keep_metadata"] = True
    if options.short_names:
        given["short_names"] = True
    return replace(recipe, **given)


def _check_inputs(options: argparse.Namespace) -> None:
    """Refuse devices, of which some never end."""
    for name in filter(None, (getattr(options, each, None) for each in INPUTS)):
        try:
            is_device = Path(name).is_char_device()
        except (OSError, ValueError):
            continue  # whoever reads it says what is wrong
        if is_device:
            raise RecipeError(f"{cleaned(name)} is a device; name a file.")


def _check_output(path: Path, options: argparse.Namespace) -> None:
    """Fail before the work, not after it, and never write over what is read."""
    given = [Path(name) for each in INPUTS if (name := getattr(options, each, None))]
    try:
        is_folder, has_folder = path.is_dir(), path.parent.is_dir()
        is_special = path.exists() and not path.is_file()
        is_read = path.exists() and any(path.samefile(read) for read in given if read.exists())
    except (OSError, ValueError) as error:
        raise OutputError(
            "The name of the output file is not one that the system takes."
        ) from error
    if is_folder:
        raise OutputError(f"{path} is a folder; name a file for the result.")
    if is_special:
        raise OutputError(f"{path} is not an ordinary file; name another one for the result.")
    if is_read:
        raise OutputError(f"{path} is also read; name another file for the result.")
    if not has_folder:
        raise OutputError(f"{path} can't be written: there is no folder {path.parent}.")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise OutputError(f"{path} can't be written: {reason_of(error)}.") from error


def _progress(step: str) -> None:
    print(f"{step} ...", file=sys.stderr, flush=True)
