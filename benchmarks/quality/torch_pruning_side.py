"""Torch-Pruning, and what measuring the normalisations' statistics again makes of any method."""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.quality.plain import change, round_rows, share_of_zeros
from benchmarks.quality.rebuilt import (
    CONVOLUTIONS,
    HeadedAttention,
    accuracy_in_torch,
    has_statistics,
    load_weights,
    rebuild,
    update_statistics,
    watch_statistics,
)
from benchmarks.quality.samples import Sample
from benchmarks.quality.search import smallest_ratio
from benchmarks.quality.values import Outcome, Setting

FLOPS_PER_MAC = 2
MOST_RATIO = 0.75  # beyond, groups that would be emptied stay whole, and less goes


def torch_pruning(sample: Sample, setting: Setting, seed: int) -> Outcome | None:
    """Channels by the L2 norm of their group, by one threshold for all; then plain rounding."""
    if not setting.macs_removed:
        return None
    module, removed = _without_channels(rebuild(sample), sample, setting.macs_removed)
    _round(module, setting.weight_bits)
    return Outcome(accuracy_in_torch(module, sample), removed)


def with_statistics(sample: Sample, setting: Setting, seed: int) -> Outcome | None:
    """Torch-Pruning's channels, or plain masks and rounding; then statistics measured again.

    None for a network without batch normalisations, and for rounded activations.
    """
    module, x = rebuild(sample), sample.calibration(seed)
    if not has_statistics(module) or setting.activation_bits < 32:
        return None
    watch_statistics(module, x)
    removed = None
    if setting.macs_removed:
        module, removed = _without_channels(module, sample, setting.macs_removed)
        _round(module, setting.weight_bits)
    else:
        weights = change(sample.proto, setting)
        removed = share_of_zeros(weights) if setting.masks else None
        load_weights(module, sample, weights)
    update_statistics(module, x)
    return Outcome(accuracy_in_torch(module, sample), removed)


def _without_channels(module: nn.Module, sample: Sample, share: float) -> tuple[nn.Module, float]:
    """A module with at least a share of the multiply-accumulates removed, and that share."""
    example = torch.tensor(sample.test[0][:1])
    macs = count_macs(module, example)

    def removed(ratio: float) -> float:
        return 1 - count_macs(_prune(module, example, ratio), example) / macs

    ratio = smallest_ratio(removed, share, MOST_RATIO)
    assert ratio is not None, "every sample can lose that much"
    return _prune(module, example, ratio), removed(ratio)


def _prune(module: nn.Module, example: torch.Tensor, ratio: float) -> nn.Module:
    """A copy without a ratio of the channels and heads; a residual width of embeddings stays."""
    import torch_pruning as tp

    pruned = copy.deepcopy(module)
    attentions = [child for child in pruned.modules() if isinstance(child, HeadedAttention)]
    projections = [p for a in attentions for p in (a.query, a.key, a.value)]
    head = [child for child in pruned.modules() if isinstance(child, nn.Linear)][-1]
    kept: list[nn.Module] = [head]
    if attentions:
        kept += [m for m in pruned.modules() if isinstance(m, (nn.Embedding, *CONVOLUTIONS))]
    tp.pruner.BasePruner(
        pruned,
        example,
        tp.importance.GroupMagnitudeImportance(p=2, target_types=[*CONVOLUTIONS, nn.Linear]),
        global_pruning=True,
        pruning_ratio=ratio,
        ignored_layers=kept,
        num_heads={p: p.out_features // attentions[0].features for p in projections},
        prune_num_heads=True,
        prune_head_dims=False,
        head_pruning_ratio=ratio,
    ).step()
    return pruned


def count_macs(module: nn.Module, example: torch.Tensor) -> float:
    """Multiply-accumulates by torch's own counter."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(example)
    found: float = counter.get_total_flops() / FLOPS_PER_MAC
    return found


@torch.no_grad()
def _round(module: nn.Module, bits: int) -> None:
    """Round the weights of all layers to nearest, in place."""
    if bits == 32:
        return
    for child in module.modules():
        if isinstance(child, (nn.Linear, nn.Embedding, *CONVOLUTIONS)):
            child.weight.copy_(torch.tensor(round_rows(child.weight.numpy(), bits)))
