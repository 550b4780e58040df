"""What an open dimension can be, and the sizes that are tried for it."""

from enum import Enum


class Kind(Enum):
    """What an open dimension counts."""

    BATCH = "samples"
    IMAGE = "pixels of one side of an image"
    VOLUME = "cells of one side of a volume, or frames of a clip"
    LENGTH = "positions of a sequence"
    WAVE = "values of a waveform"
    CHANNELS = "channels"


# The first is taken where it works. All four are tried to see what follows an open dimension: small
# and large ones, also beyond a limit.
USUAL: dict[Kind, tuple[int, int, int, int]] = {
    Kind.BATCH: (1, 2, 3, 5),
    Kind.IMAGE: (224, 256, 96, 512),
    Kind.VOLUME: (64, 32, 96, 16),
    Kind.LENGTH: (128, 120, 9, 1000),
    Kind.WAVE: (16000, 12800, 8000, 32000),
    Kind.CHANNELS: (3, 3, 3, 3),
}
# In the last two, dimensions differ by their own multiple of a step, so that nothing is taken for
# constant that depends on two of them being equal.
STEPS: dict[Kind, tuple[int, int, int, int]] = {
    Kind.BATCH: (0, 0, 1, 3),
    Kind.IMAGE: (0, 0, 32, 96),
    Kind.VOLUME: (0, 0, 8, 16),
    Kind.LENGTH: (0, 0, 2, 7),
    Kind.WAVE: (0, 0, 320, 640),
    Kind.CHANNELS: (0, 0, 0, 0),
}
# Tried one after another where the usual size doesn't work: sides of images that networks are
# trained with, longer sequences first, since a network may need a least length.
OTHERS: dict[Kind, tuple[int, ...]] = {
    kind: tuple(int(size) for size in sizes.split())
    for kind, sizes in (
        (Kind.BATCH, "2 4 8 16 3"),
        (
            Kind.IMAGE,
            "256 32 28 64 512 299 384 1024 128 96 320 416 640 448 336 160 192 227 300 48 40 112 "
            "240 260 380 600 518 16 14 8",
        ),
        (Kind.VOLUME, "32 16 96 128 112 8"),
        (
            Kind.LENGTH,
            "1024 64 4096 32 3000 16000 16 100 50 77 256 512 8 197 10 20 200 48000 4 300 1000 "
            "1500 187 140 5 12 24 28 30 40 60 80 96 3 2 1 160000",
        ),
        (Kind.WAVE, "1024 48000 8000 4096 160000 128 16384 65536 64000 32000 512 256"),
        (Kind.CHANNELS, "1 4 2 12 16 64"),
    )
}
