"""Files made to harm, to lie or to confuse, each with what the person must read; all harmless.

Where a payload would run, it would leave a file at one of `Places.markers`.
"""

from bad_files import (
    archives,
    foreign,
    onnx_forms,
    onnx_runs,
    samples_files,
    torch_pickles,
    torch_programs,
)

FAMILIES = {
    "archives": archives.CASES,
    "foreign": foreign.CASES,
    "onnx_forms": onnx_forms.CASES,
    "onnx_runs": onnx_runs.CASES,
    "samples_files": samples_files.CASES,
    "torch_pickles": torch_pickles.CASES,
    "torch_programs": torch_programs.CASES,
}
CASES = tuple(case for cases in FAMILIES.values() for case in cases)
