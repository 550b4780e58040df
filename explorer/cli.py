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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from explorer import commands
from explorer.command_options import check_inputs
from explorer.errors import NO_MEMORY, ExplorerError, OutputError, RecipeError
from explorer.metrics import CHOICES
from explorer.recipe import AIMS, CRITERIA, PATTERNS

EXIT_OK, EXIT_USER_ERROR = 0, 2
COMMAND = "compression-explorer"
DATA_HELP = "samples, with labels in y if there are any"
METRIC_HELP = f"quality metric: {', '.join(CHOICES)}; by default the one that fits"
ALIGNMENT_HELP = "channel alignment: the remaining channels are a multiple of N"
WIDTHS_HELP = "also prune the hidden (residual) dimension"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a pipe may have no − and no µ
    try:
        options = _parser().parse_args(arguments)
        check_inputs(options)
        command: Callable[[argparse.Namespace], dict[str, Any]] = options.command
        result = command(options)
        text = json.dumps(_finite(result), allow_nan=False) if options.json else result["table"]
        return _print(text)
    except ExplorerError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return EXIT_USER_ERROR
    except MemoryError:
        print(NO_MEMORY, file=sys.stderr)
        return EXIT_USER_ERROR


def _finite(value: Any) -> Any:
    """The same with null for numbers that JSON doesn't know."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(text: str) -> int:
    """Write the result; a closed pipe is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing left to flush
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"The result can't be printed: {error.strerror}.") from error
    return EXIT_OK


class _Parser(argparse.ArgumentParser):
    """An argument parser whose error is one sentence."""

    def error(self, message: str) -> NoReturn:
        raise RecipeError(f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.")


def _parser() -> argparse.ArgumentParser:
    name = COMMAND if Path(sys.argv[0]).stem == COMMAND else "python -m explorer"
    parser = _Parser(prog=name, description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    _add(
        subparsers,
        "profile",
        commands.profile,
        "count parameters, MACs, sizes and peak activation memory",
    )
    compress = _add(subparsers, "compress", commands.compress, "prune and quantize a model")
    _add_compress_options(compress)
    about = "measure the sensitivity of each layer and channel group, one by one"
    sensitivity = _add(subparsers, "sensitivity", commands.sensitivity, about)
    add = sensitivity.add_argument
    add("--data", required=True, metavar="EVAL.npz", help=DATA_HELP)
    add("--calibration", metavar="C.npz", help="calibration samples; default: those of --data")
    add("--metric", metavar="NAME", help=METRIC_HELP)
    add("--no-compensate", action="store_true", help="without weight reconstruction")
    add("--round-to", type=int, metavar="N", help=ALIGNMENT_HELP)
    add("--widths", action="store_true", help=WIDTHS_HELP)
    add("--seed", type=int, metavar="S", help="random seed")
    add("--spend", type=float, metavar="PP", help="generate a recipe within this accuracy budget")
    add("--on", metavar="WHAT", help=f"what to minimize: {', '.join(AIMS)}; default size")
    add("--save-recipe", metavar="R.json", help="where to write that recipe, for compress --recipe")
    evaluate = _add(subparsers, "evaluate", commands.evaluate, "score a model on data")
    evaluate.add_argument("--data", required=True, metavar="EVAL.npz", help=DATA_HELP)
    evaluate.add_argument("--reference", metavar="ORIGINAL", help="model to compare with")
    evaluate.add_argument("--metric", metavar="NAME", help=METRIC_HELP)
    latency = _add(subparsers, "latency", commands.latency, "time one inference")
    latency.add_argument("--against", metavar="ORIGINAL", help="model to compare with")
    latency.add_argument("--threads", type=int, default=1, metavar="N", help="threads; default 1")
    serve = subparsers.add_parser(
        "serve", help="start the web app", description="start the web app"
    )
    serve.add_argument("--port", type=int, metavar="P", help="port to listen on; default 8501")
    serve.set_defaults(command=commands.serve)
    return parser


def _add(
    subparsers: Any, name: str, command: Callable[[argparse.Namespace], dict[str, Any]], about: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=about, description=about)
    parser.add_argument("model", metavar="MODEL", help="an ONNX file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--input-size",
        action="append",
        default=[],
        type=_input_size,
        metavar="NAME=1,3,320,320",
        help="shape of an input whose dimensions the file leaves open, batch included; repeat for "
        "more inputs",
    )
    parser.set_defaults(command=command)
    return parser


def _input_size(text: str) -> tuple[str, tuple[int, ...]]:
    """The name of an input and its shape."""
    name, _, shape = text.rpartition("=")
    if not name or not re.fullmatch(r"\d{1,10}(,\d{1,10})*", shape):
        raise argparse.ArgumentTypeError(
            f"{text!r} isn't the name and shape of an input, such as image=1,3,320,320"
        )
    return name, tuple(int(size) for size in shape.split(","))


def _add_compress_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--out", required=True, metavar="OUT.onnx", help="where to write the result")
    add("--recipe", metavar="R.json", help="a recipe; the options below override it")
    add("--pattern", help=f"pruning: {', '.join(PATTERNS)}")
    add("--ratio", type=float, metavar="R", help="pruning ratio of channels or weights, in [0, 1)")
    add("--scope", help="scope of the pruning ratio: global or layer")
    add("--criterion", metavar="NAME", help=f"pruning criterion: {', '.join(CRITERIA)}")
    add("--round-to", type=int, metavar="N", help=ALIGNMENT_HELP)
    add("--weight-bits", type=int, metavar="BITS", help="weight bits: 32, 16, or 8 to 2")
    add("--bits-scope", help="layer; or global: mixed precision of --weight-bits on average")
    add("--activation-bits", type=int, metavar="BITS", help="activation bits: 32 or 8")
    add("--int8-range", help="reduced: exact on every processor; full: for VNNI and Arm")
    add("--calibration", metavar="C.npz", help="calibration samples, which need no labels")
    add("--no-compensate", action="store_true", help="without weight reconstruction")
    add("--data", metavar="EVAL.npz", help="score original and result on these samples")
    add("--metric", metavar="NAME", help=METRIC_HELP)
    add("--keep-metadata", action="store_true", help="keep exporter metadata of nodes and tensors")
    add("--short-names", action="store_true", help="give tensors and nodes short names")
    add("--latency", action="store_true", help="time original and result")
    add("--widths", action="store_true", help=WIDTHS_HELP)
    add("--seed", type=int, metavar="S", help="random seed")
