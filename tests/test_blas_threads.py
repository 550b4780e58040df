"""Linear algebra of small networks has one thread, so that files don't depend on the cores."""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, with_weights
from threadpoolctl import threadpool_info, threadpool_limits

from explorer.compress.blas_threads import SMALL, longest_side, with_fitting_threads
from explorer.model import Model

NET = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[n,{inputs}] x) => (float[n,4] y) {{
    y = Gemm(x, first, bias)
}}
"""
CODE = """
import explorer
model = explorer.load("sample_models/fashion_mobilenet.onnx")
calibration = explorer.calibrate(model, "sample_models/fashion_calibration.npz")
recipe = explorer.Recipe(pattern="channel", ratio=0.4, weight_bits=4)
print(explorer.apply(model, explorer.plan(model, recipe, calibration), calibration).id)
"""


def threads() -> set[int]:
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


@with_fitting_threads
def threads_for(model: Model) -> set[int]:
    return threads()


def net(inputs: int) -> Model:
    return with_weights(NET.format(inputs=inputs), first=(inputs, 4), bias=(4,))


def test_a_small_network_has_one_and_a_large_one_all_there_are() -> None:
    np.ones((2, 2)) @ np.ones((2, 2))
    with threadpool_limits(2, user_api="blas"):
        assert threads_for(net(8)) == {1}
        assert threads_for(net(SMALL + 1)) == threads() == {2}


@pytest.mark.parametrize(("inputs", "side"), [(3, 4), (70, 70)])
def test_the_longest_side_is_of_channels_or_inputs(inputs: int, side: int) -> None:
    assert longest_side(net(inputs)) == side


def test_a_file_does_not_depend_on_the_number_of_threads() -> None:
    def made(count: str) -> str:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": count}
        command = [sys.executable, "-c", CODE]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert made("1") == made("2")
