"""Other people's counters of multiply-accumulates, each asked as its documentation says."""

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


@contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def torch_macs(module: nn.Module, *inputs: Tensor) -> int:
    """Half of what `torch.utils.flop_counter.FlopCounterMode` finds, in FLOPs."""
    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    found: int = counter.get_total_flops() // 2
    return found


def torch_macs_unfused(module: nn.Module, *inputs: Tensor) -> int:
    """The same, with attention and LSTM computed by kernels that it knows."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with _quiet(), sdpa_kernel(SDPBackend.MATH), torch.backends.mkldnn.flags(enabled=False):
            return torch_macs(module, *inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def thop_macs(module: nn.Module, *inputs: Tensor) -> int:
    with _quiet():
        import thop

        macs, _ = thop.profile(copy.deepcopy(module), inputs=inputs, verbose=False)
    return int(macs)


def fvcore_macs(module: nn.Module, *inputs: Tensor) -> int:
    """What fvcore calls FLOPs: one for each multiply-accumulate."""
    with _quiet():
        from fvcore.nn import FlopCountAnalysis

        return int(FlopCountAnalysis(module, inputs).total())


def ptflops_macs(module: nn.Module, *inputs: Tensor, backend: str = "pytorch") -> int:
    with _quiet():
        from ptflops import get_model_complexity_info

        (one,) = inputs
        macs, _ = get_model_complexity_info(
            copy.deepcopy(module),
            tuple(one.shape[1:]),
            as_strings=False,
            print_per_layer_stat=False,
            verbose=False,
            backend=backend,
        )
    return int(macs)


def ptflops_aten_macs(module: nn.Module, *inputs: Tensor) -> int:
    """The newer way, which sees functions too."""
    return ptflops_macs(module, *inputs, backend="aten")


COUNTERS = {
    "torch": torch_macs,
    "thop": thop_macs,
    "fvcore": fvcore_macs,
    "ptflops": ptflops_macs,
    "ptflops aten": ptflops_aten_macs,
}


def counted_parameters(module: nn.Module, x: Tensor) -> dict[str, int]:
    """Number of parameters by tool."""
    with _quiet():
        import thop
        from fvcore.nn import parameter_count
        from ptflops import get_model_complexity_info

        _, by_ptflops = get_model_complexity_info(
            copy.deepcopy(module), tuple(x.shape[1:]), as_strings=False, verbose=False
        )
        return {
            "thop": int(thop.profile(copy.deepcopy(module), inputs=(x,), verbose=False)[1]),
            "fvcore": parameter_count(module)[""],
            "ptflops": int(by_ptflops),
        }
