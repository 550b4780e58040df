"""Training one network: stochastic gradient descent with a one-cycle learning rate.

The result is the moving average of the weights at the end of the run. No checkpoint is chosen
by its accuracy; the validation images are only reported on.
"""

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sample_models.fashion import Images, augment

BATCH_SIZE = 128
MOMENTUM = 0.9
AVERAGE_DECAY = 0.999  # per step
LABEL_SMOOTHING = 0.1


@dataclass(frozen=True)
class Training:
    """How one network is trained."""

    epochs: int
    peak_learning_rate: float
    weight_decay: float
    bfloat16: bool = False
    seed: int = 0


def train(model: nn.Module, how: Training, images: Images, validation: Images) -> nn.Module:
    """Train `model` in place, print a line per epoch, return the averaged model in eval mode."""
    model.to(memory_format=torch.channels_last)
    average = AveragedModel(
        model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY), use_buffers=True
    )
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=how.peak_learning_rate,
        momentum=MOMENTUM,
        weight_decay=how.weight_decay,
        nesterov=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=how.peak_learning_rate,
        total_steps=how.epochs * (len(images) // BATCH_SIZE),
        pct_start=0.2,
        cycle_momentum=False,
    )
    x, y = _tensors(images)
    generator = torch.Generator().manual_seed(how.seed)
    started = time.perf_counter()
    for epoch in range(1, how.epochs + 1):
        model.train()
        order = torch.randperm(len(y), generator=generator)
        for batch in order.split(BATCH_SIZE)[: len(y) // BATCH_SIZE]:
            optimizer.zero_grad()
            loss = _loss(model, augment(x[batch], generator), y[batch], how.bfloat16)
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
        elapsed_s = time.perf_counter() - started
        share = accuracy(average.module, validation)
        print(f"epoch {epoch}/{how.epochs}: validation {share:.2%}, {elapsed_s:.0f} s", flush=True)
    return average.module.eval().to(memory_format=torch.contiguous_format)


def accuracy(model: nn.Module, images: Images) -> float:
    """Measure which fraction of `images` `model`, put in eval mode, gives the right class."""
    model.eval()
    x, y = _tensors(images)
    with torch.inference_mode():
        predicted = torch.cat([model(part.float()).argmax(1) for part in x.split(500)])
    return (predicted == y).double().mean().item()


def _loss(model: nn.Module, x: Tensor, y: Tensor, bfloat16: bool) -> Tensor:
    x = x.float().contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        logits = model(x)
    return cross_entropy(logits.float(), y, label_smoothing=LABEL_SMOOTHING)


def _tensors(images: Images) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(images.x), torch.from_numpy(images.y).long()
