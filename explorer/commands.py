"""The commands of the shell: each takes its options and gives the JSON or the table to print."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import explorer
from explorer.command_options import aim_of, check_output, check_spending, recipe_of, remarks_on
from explorer.description import Relabelling, Scoring
from explorer.errors import RecipeError
from explorer.events import Bought, Event, Probed, ProbesCounted, require
from explorer.findings import Sensitivity
from explorer.metrics import METRICS
from explorer.recipe import Recipe
from explorer.render.text import relabelling_sentence
from explorer.render.text_tables import plan_table, report_table, sensitivity_table, spent_table
from explorer.report import Plan, Quality, Report
from explorer.runs import Original, Run

if TYPE_CHECKING:
    from explorer.formats.data import Dataset
    from explorer.model import Model
    from explorer.pipeline import Opened


MOST_THREADS = 256
PORTS = range(1, 2**16)


def profile(options: argparse.Namespace) -> dict[str, Any]:
    """The counts of one model."""
    model = _load(options.model, options)
    report = Report(model.id, model.name, explorer.profile(model))
    return report.to_dict() if options.json else {"table": report_table([report])}


def compress(options: argparse.Namespace) -> dict[str, Any]:
    """Prune and quantize a model, write it, and measure what was asked for."""
    from explorer import pipeline  # noqa: PLC0415 - loaded when needed

    check_output(Path(options.out), options)
    recipe = recipe_of(options)
    opened = _opened(options)
    for remark in remarks_on(recipe, options):
        _remark(remark)
    place, watch = pipeline.Here(), _Watch()
    wanted = pipeline.Wanted(quick=False, first=False, timed=options.latency, unreconstructed=False)
    run = Run(recipe).after(pipeline.run(opened, recipe, place, watch, wanted))
    assert run.plan is not None  # the pipeline has made it, the file and the model
    assert run.artifact is not None
    assert place.model is not None
    reason = run.artifact.not_reconstructed
    if reason is not None and recipe.compensate and not recipe.is_identity:
        _remark(f"without weight reconstruction: {reason}")
    original = _measured_original(opened, watch)
    if run.latency is not None:  # of one measurement, run by run
        original = replace(original, latency=run.latency.of_reference())
    reports = [original.report(), run.report()]
    place.model.save(options.out)
    if options.json:
        return _compressed_json(reports, run.plan)
    return {"table": f"{report_table(reports)}\n\n{plan_table(run.plan)}"}


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Score one model on data."""
    from explorer.measure.quality import suggest_relabelling  # noqa: PLC0415

    model = _load(options.model, options)
    reference = _load(options.reference, options) if options.reference else None
    data = _data(options.data, model)
    model = _at_size(model, data, options)
    original = reference or model
    scoring = _scoring(original, data, options)
    quality = explorer.evaluate(model, data, reference, metric=scoring.metric)
    found = suggest_relabelling(original, data, scoring.metric)
    _tell_doubts(original, scoring, found, None if reference else quality)
    report = Report(model.id, model.name, explorer.profile(model), quality=quality)
    return report.to_dict() if options.json else {"table": report_table([report])}


def sensitivity(options: argparse.Namespace) -> dict[str, Any]:
    """What compressing each place alone costs, and a recipe within an accuracy budget."""
    from explorer import pipeline  # noqa: PLC0415 - loaded when needed
    from explorer.model import write_atomically  # noqa: PLC0415

    check_spending(options)
    base = Recipe(compensate=not options.no_compensate, widths=options.widths)
    given = {"round_to": options.round_to, "seed": options.seed}
    base = replace(base, **{name: value for name, value in given.items() if value is not None})
    opened, watch = _opened(options, calibrates_on_data=True), _Watch()
    report = _measured_original(opened, watch).report()
    found = list(_probed(pipeline.sensitivity(opened, base, watch)))
    rows = [each.to_dict() for each in found]
    answer, tables = {**report.to_dict(), "sensitivity": rows}, [sensitivity_table(report, found)]
    if options.spend is not None:
        events = tuple(pipeline.buy(opened, base, found, options.spend, aim_of(options), watch))
        spent = require(events, Bought).spent
        if options.save_recipe:
            _progress(f"writing {options.save_recipe}")
            write_atomically(Path(options.save_recipe), spent.recipe.to_json().encode())
        answer["spent"] = spent.to_dict()
        tables.append(spent_table(spent))
    return answer if options.json else {"table": "\n\n".join(tables)}


def latency(options: argparse.Namespace) -> dict[str, Any]:
    """Time one inference."""
    if not 1 <= options.threads <= MOST_THREADS:
        raise RecipeError(
            f"The number of threads is {options.threads}; it must be at least 1 and at most "
            f"{MOST_THREADS}."
        )
    model = _load(options.model, options)
    reference = _load(options.against, options) if options.against else None
    timed = explorer.measure_latency(model, reference, options.threads)
    report = Report(model.id, model.name, explorer.profile(model), latency=timed)
    return report.to_dict() if options.json else {"table": report_table([report])}


def serve(options: argparse.Namespace) -> NoReturn:
    """Start the web app: this process becomes its server."""
    given = options.port is not None
    if given and options.port not in PORTS:
        raise RecipeError(f"The port is {options.port}; it must be at least 1 and at most 65535.")
    package = Path(__file__).parent
    installed = package / "webapp" / "app.py"
    app = installed if installed.exists() else package.parent / "app.py"
    port = ["--server.port", str(options.port)] if given else []
    # -P: a folder named explorer in the current folder must not hide the package.
    command = [sys.executable, "-P", "-m", "streamlit", "run", str(app), *port]
    os.execv(sys.executable, command)  # noqa: S606 - our own interpreter and script


def _load(path: str, options: argparse.Namespace) -> "Model":
    """A model at the requested input sizes; its remarks go to standard error."""
    model = explorer.load(path, input_sizes=dict(options.input_size))
    for remark in model.remarks:
        _remark(remark)
    return model


def _opened(options: argparse.Namespace, calibrates_on_data: bool = False) -> "Opened":
    """The model with the samples that the options name; assumptions go to standard error."""
    from explorer.pipeline import Opened  # noqa: PLC0415 - loaded when needed

    model = _load(options.model, options)
    data = calibration = None
    if options.data:
        data = _data(options.data, model)
        model = _at_size(model, data, options)
    elif options.metric is not None:
        raise RecipeError("--metric is for a model that is scored; add --data.")
    if options.calibration:
        calibration = _data(options.calibration, model)
    elif calibrates_on_data:
        calibration = data
    scoring = _scoring(model, data, options) if data is not None else None
    return Opened(model, data, calibration, scoring=scoring)


def _measured_original(opened: "Opened", watch: "_Watch") -> Original:
    """The original with its quality; doubts about that or the labels go to standard error."""
    from explorer import pipeline  # noqa: PLC0415 - loaded when needed

    original = (
        Original()
        .after(pipeline.introduce(opened))
        .after(pipeline.score(opened, opened.model, watch, first=False, beside_itself=True))
    )
    if original.quality is not None and opened.scoring is not None:
        _tell_doubts(opened.model, opened.scoring, original.relabelling, original.quality)
    return original


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


def _compressed_json(reports: list[Report], planned: Plan) -> dict[str, Any]:
    return {
        "original": reports[0].to_dict(),
        "compressed": reports[1].to_dict(),
        "plan": planned.to_dict(),
    }


def _data(path: str, model: "Model") -> "Dataset":
    """Samples from a file; what was assumed about them goes to standard error."""
    from explorer.formats.data import load_data  # noqa: PLC0415
    from explorer.measure.sample_axis import row_notes  # noqa: PLC0415

    data = load_data(path, model)
    for note in (*data.notes, *row_notes(model, data)):
        _remark(note)
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
        _remark(f"metric: {METRICS[scoring.metric].noun}, {scoring.reason}")
    return scoring


def _tell_doubts(
    original: "Model", scoring: Scoring, found: Relabelling | None, quality: Quality | None
) -> None:
    """Say on standard error if labels seem permuted, or if the original only guesses."""
    from explorer.render.insights_original import class_count, guessing  # noqa: PLC0415

    if found is not None:
        _remark(relabelling_sentence(found))
    elif quality is not None:
        classes = class_count(original.outputs[scoring.output].shape)
        for sentence in guessing(quality, classes):
            _remark(sentence)


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


def _remark(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _progress(step: str) -> None:
    print(f"{step} ...", file=sys.stderr, flush=True)
