"""Tasks that make a model and samples of the files that a person has dropped.

A file is what its content says. Formats that run code when they are opened are converted in a
process that was never used, has just tried to break out of its confinement, and ends afterwards.
What comes of all is one form: an ONNX model, and archives of samples for test and calibration.
"""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from explorer.errors import FILES_GONE, DataError, JobError, MeasurementError, ModelError
from explorer.events import DataRead, ModelRead, Noted
from explorer.formats import data_kinds
from explorer.formats.class_names import MOST_MAPPED, known_classes
from explorer.formats.data import Dataset
from explorer.formats.kinds import Kind, identify
from explorer.formats.model_files import Imported, Shapes, import_model
from explorer.formats.preprocessing import Preprocessing
from explorer.formats.samples import Samples, import_samples, save_npz
from explorer.jobs.context import Context
from explorer.jobs.sandbox import leaks
from explorer.measure.examples import make_examples
from explorer.measure.quality import check_labels, evaluate
from explorer.measure.runtime import check_ends
from explorer.measure.sample_axis import sample_sizes
from explorer.model import Model
from explorer.network import TensorSpec
from explorer.opening import sized

MADE_UP = (
    "No samples were given, so agreement with the original is measured on {count} random inputs. "
    "Accuracy can't be measured, and weights aren't reconstructed."
)
NONE_MADE_UP = "No samples were given, and random inputs can't be generated. {reason}"
Sizes = dict[str, list[int]]  # of inputs, by name
File = dict[str, str]  # "path", and "name" as the person knows it

LEAKY = (
    "This server can't open {kind} files, because they run code and its sandbox lets programs "
    "{leaks}. Export the network with torch.onnx.export(module, (example,), 'model.onnx') instead."
)


def import_files(
    context: Context,
    files: list[File],
    current: File | None,
    shape: list[int] | None = None,
    asked: dict[str, Any] | None = None,
    mapping: dict[str, int] | None = None,
    input_sizes: Sizes | None = None,
) -> None:
    """`ModelRead` and `DataRead`, as far as the files hold them.

    Data alone is for the `current` model.

    Where there are no samples, inputs are made up; such data has no calibration. Where none can be
    made up, there is `Noted` with the reason.

    `shape` is that of the model's input, for files that don't record it; `asked` says how samples
    are prepared, a `Preprocessing`, and `mapping` which class number a label gets, by its name;
    `input_sizes` are shapes that were set, by input.
    """
    context.progress(0.1, "looking at the files")
    dropped, data = _model_and_data(files)
    if dropped is None and not (data and current):
        raise ModelError("None of these files is a model; drop one, with or without samples.")
    given = {"asked": asked, "mapping": mapping, "input_sizes": input_sizes}
    model = current
    if dropped is not None:
        path, name = Path(dropped["path"]), dropped["name"]
        kind = identify(path, name)
        if kind.needs_torch:
            first = "try_out" if kind.runs_code else "convert"
            context.hand_over(first, file=dropped, shape=shape, data=data, **given)
            return
        model = _keep_model(context, import_model(path, name), dropped, input_sizes)
    if data:
        context.hand_over("import_data", file=data, model=model, **given)
    elif model:
        _make_examples(context, model, input_sizes)


def _model_and_data(files: list[File]) -> tuple[File | None, File | None]:
    """The one model and the one file of samples among them, as far as there are any."""
    if not all(Path(file["path"]).exists() for file in files):
        raise JobError(FILES_GONE)
    models, data = sort_files(files)
    if len(models) > 1:
        raise ModelError(f"There are {len(models)} models; drop one at a time.")
    if len(data) > 1:
        raise DataError(f"There are {len(data)} files of samples; drop one at a time.")
    return next(iter(models), None), next(iter(data), None)


def try_out(
    context: Context,
    file: File,
    shape: list[int] | None,
    data: File | None,
    asked: dict[str, Any] | None,
    mapping: dict[str, int] | None = None,
    input_sizes: Sizes | None = None,
) -> None:
    """No event: open a file that runs code, and run it once; what doesn't end is stopped soon."""
    context.progress(0.1, "running it once")
    kind = _kind_if_confined(file)
    from explorer.formats.torch_files import open_once  # noqa: PLC0415 - imports torch

    open_once(Path(file["path"]), kind, file["name"], _shapes(shape))
    given = {"data": data, "asked": asked, "mapping": mapping, "input_sizes": input_sizes}
    context.hand_over("convert", file=file, shape=shape, **given)


def convert(
    context: Context,
    file: File,
    shape: list[int] | None,
    data: File | None,
    asked: dict[str, Any] | None,
    mapping: dict[str, int] | None = None,
    input_sizes: Sizes | None = None,
) -> None:
    """`ModelRead`, of a file that needs torch; then its `data` are imported."""
    context.progress(0.2, "converting to ONNX")
    _kind_if_confined(file)
    imported = import_model(Path(file["path"]), file["name"], _shapes(shape))
    model = _keep_model(context, imported, file, input_sizes)
    if data is not None:
        given = {"asked": asked, "mapping": mapping, "input_sizes": input_sizes}
        context.hand_over("import_data", file=data, model=model, **given)
    else:
        _make_examples(context, model, input_sizes)


def _kind_if_confined(file: File) -> Kind:
    """The kind of a file; one that runs code is refused where this process could do harm."""
    kind = identify(Path(file["path"]), file["name"])
    if kind.runs_code and (found := leaks(Path.cwd())):
        raise ModelError(LEAKY.format(kind=kind.value, leaks=" and ".join(found)))
    return kind


def _shapes(shape: list[int] | None) -> Shapes | None:
    return (tuple(shape),) if shape else None


def sort_files(files: Sequence[File]) -> tuple[list[File], list[File]]:
    """Models, and samples.

    Raises:
        ModelError: one is neither.
    """
    models, data = [], []
    for file in files:
        path = Path(file["path"])
        try:
            identify(path, file["name"])
            models.append(file)
        except ModelError:
            if not _is_data(path, file["name"]):
                raise
            data.append(file)
    return models, data


def _is_data(path: Path, title: str) -> bool:
    try:
        data_kinds.kind_of(path, title)
    except DataError:
        return False
    return True


def _keep_model(
    context: Context, imported: Imported, file: File, input_sizes: Sizes | None
) -> File:
    """Write the model beside the file that it was made from, if it can be run in good time."""
    model = sized(Model.of_file(imported.file), input_sizes)
    check_ends(model)
    path = f"{file['path']}.onnx"
    model.save(path)
    context.models.remember(path, imported.file)
    context.send(ModelRead(path, imported.kind.value, imported.notes))
    return {"path": path, "name": file["name"]}


def _make_examples(context: Context, model: File, input_sizes: Sizes | None) -> None:
    """`DataRead`, made up: enough to see how far a compressed model agrees with the original.

    Where that fails, `Noted` says why instead.
    """
    context.progress(0.8, "generating random inputs")
    try:
        examples = make_examples(context.models.checked({**model, "input_sizes": input_sizes}))
    except (DataError, MeasurementError) as error:
        context.send(Noted((NONE_MADE_UP.format(reason=error),)))
        return
    path = Path(f"{model['path']}-{secrets.token_hex(4)}-made-up.npz")  # others may be open
    save_npz(examples, path)
    note = MADE_UP.format(count=len(examples))
    context.send(DataRead(str(path), None, (note,)))


def _at_sizes(network: Model, sizes: Sizes) -> tuple[TensorSpec, ...]:
    """The inputs with the sizes that were set, all but the number of samples."""
    return tuple(
        replace(spec, shape=(*spec.shape[:1], *sizes[spec.name][1:]))
        if spec.name in sizes
        else spec
        for spec in network.inputs
    )


def import_data(
    context: Context,
    file: File,
    model: File,
    asked: dict[str, Any] | None,
    mapping: dict[str, int] | None = None,
    input_sizes: Sizes | None = None,
) -> None:
    """`DataRead`, of samples for a model that is there already.

    Images get the `input_sizes` that were set. `sizes` are those of the samples, by input, where
    the model is usually counted with others.
    """
    context.progress(0.6, "reading the samples")
    network = context.models.checked({**model, "input_sizes": input_sizes})
    is_images = data_kinds.kind_of(Path(file["path"]), file["name"]) is data_kinds.IMAGES
    inputs = _at_sizes(network, input_sizes or {}) if is_images else network.inputs

    def share_right(tried: Dataset) -> float:
        context.progress(0.7, "comparing ways to preprocess the samples")
        check_labels(network, tried)
        score = evaluate(network, tried, check=context.check).value
        return min(max(score, 0.0), 1.0)  # an R² may be below

    samples = import_samples(
        Path(file["path"]),
        file["name"],
        inputs,
        Preprocessing.from_dict(asked) if asked else None,
        share_right,
        known=known_classes(network),
        mapping=mapping,
    )
    check_labels(network, samples.test)
    _keep_samples(context, file, network, samples)


def _keep_samples(context: Context, file: File, network: Model, samples: Samples) -> None:
    """Write both parts, and say where they are."""
    # What was read before, for another model or in another way, may still be open.
    stem = f"{file['path']}-{secrets.token_hex(4)}"
    paths = {part: Path(f"{stem}-{part}.npz") for part in ("test", "calibration")}
    save_npz(samples.test, paths["test"])
    save_npz(samples.calibration, paths["calibration"])
    context.send(
        DataRead(
            test=str(paths["test"]),
            calibration=str(paths["calibration"]),
            notes=tuple(samples.notes),
            classes=samples.classes or (),
            pairs=tuple(samples.pairs[:MOST_MAPPED]),
            preprocessing=asdict(samples.preprocessing) if samples.preprocessing else None,
            sizes=sample_sizes(network, samples.test),
        )
    )
