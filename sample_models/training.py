"""Training one network: stochastic gradients with a one-cycle learning rate.

The result is the moving average of the weights at the end of the run. No checkpoint is chosen
by its accuracy; the validation samples are only reported on.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sample_models.dataset import Dataset, Samples

MOMENTUM = 0.9
LABEL_SMOOTHING = 0.1
REPORTS = 20  # lines printed in one run, about


def sgd(
    parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with Nesterov momentum, for the networks of convolutions."""
    return torch.optim.SGD(
        parameters,
        lr=learning_rate,
        momentum=MOMENTUM,
        weight_decay=weight_decay,
        nesterov=True,
    )


def adamw(
    parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay, for the transformer."""
    return torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)


@dataclass(frozen=True)
class Training:
    """How one network is trained; `average_decay` is that of the averaged weights, per step."""

    epochs: int
    peak_learning_rate: float
    weight_decay: float
    bfloat16: bool = False
    seed: int = 0
    batch_size: int = 128
    average_decay: float = 0.999
    optimizer: Callable[[Iterable[nn.Parameter], float, float], torch.optim.Optimizer] = sgd


def train(model: nn.Module, how: Training, data: Dataset) -> nn.Module:
    """Train `model` in place, print its progress, return the averaged model in eval mode."""
    split = data.split
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has no types for it
    average = AveragedModel(
        model, multi_avg_fn=get_ema_multi_avg_fn(how.average_decay), use_buffers=True
    )
    optimizer = how.optimizer(model.parameters(), how.peak_learning_rate, how.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=how.peak_learning_rate,
        total_steps=how.epochs * (len(split.train) // how.batch_size),
        pct_start=0.2,
        cycle_momentum=False,
    )
    x, y = _tensors(split.train)
    generator = torch.Generator().manual_seed(how.seed)
    started = time.perf_counter()
    for epoch in range(1, how.epochs + 1):
        model.train()
        order = torch.randperm(len(y), generator=generator)
        for batch in order.split(how.batch_size)[: len(y) // how.batch_size]:
            optimizer.zero_grad()
            inputs = data.augment(x[batch], generator).to(data.dtype)
            loss = _loss(model, inputs, y[batch], how.bfloat16)
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
        if epoch % -(-how.epochs // REPORTS) == 0:
            share = accuracy(average.module, split.validation, data.dtype)
            elapsed_s = time.perf_counter() - started
            print(f"epoch {epoch}: validation {share:.2%}, {elapsed_s:.0f} s", flush=True)
    module: nn.Module = average.module.eval()
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # as above
    return module


def accuracy(model: nn.Module, samples: Samples, dtype: torch.dtype) -> float:
    """Measure which fraction of `samples` `model`, put in eval mode, gives the right class."""
    model.eval()
    x, y = _tensors(samples)
    with torch.inference_mode():
        predicted = torch.cat([model(part.to(dtype)).argmax(1) for part in x.split(500)])
    return (predicted == y).double().mean().item()


def _loss(model: nn.Module, x: Tensor, y: Tensor, bfloat16: bool) -> Tensor:
    if x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        logits = model(x)
    return cross_entropy(logits.float(), y, label_smoothing=LABEL_SMOOTHING)


def _tensors(samples: Samples) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(samples.x), torch.from_numpy(samples.y).long()
