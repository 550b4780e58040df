"""Samples with the statistics of photographs and texts, and networks that are set up for them."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

CHROMA = 0.3  # of the colours beside the brightness
SETTING_UP = 16  # samples that batch norms are set from

Samples = npt.NDArray[np.float32] | npt.NDArray[np.int64]


def images(count: int, pixels: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Noise whose power falls with the square of the frequency, as in photographs (Field, 1987).

    (count, 3, pixels, pixels), of mean 0 and deviation 1.
    """
    random = np.random.default_rng(seed)
    across, along = np.fft.fftfreq(pixels), np.fft.rfftfreq(pixels)
    frequency = np.hypot(across[:, None], along[None, :])
    frequency[0, 0] = 1 / pixels
    planes = np.empty((count, 4, pixels, pixels), np.float32)
    for image in planes:
        spectrum = np.fft.rfft2(random.standard_normal(image.shape)) / frequency
        image[:] = np.fft.irfft2(spectrum, image.shape[1:])
    found: npt.NDArray[np.float32] = planes[:, :1] + CHROMA * planes[:, 1:]
    found -= found.mean()
    found /= found.std()
    return found


def texts(count: int, length: int, words: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Numbers of words, (count, length), the n-th with a frequency of 1 / n (Zipf)."""
    share = 1 / np.arange(1, words + 1)
    drawn = np.random.default_rng(seed).choice(words, (count, length), p=share / share.sum())
    return drawn.astype(np.int64)


def set_up(network: nn.Module, samples: Samples) -> nn.Module:
    """Set the statistics of batch norms from samples, layer by layer as they come."""
    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    if norms:
        with torch.no_grad():
            network(torch.from_numpy(samples[:SETTING_UP]))
    return network.eval()
