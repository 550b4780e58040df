"""Recurrent networks and convolutions over time, for audio and sensors."""

import torch
from torch import Tensor, nn

from families.family import Family, sequences

OUTPUT = {"head": "feeds graph output"}
HIDDEN = 16


class Recurrent(nn.Module):
    """A recurrent layer of torch, and a head on its last step or on all."""

    def __init__(
        self, kind: type[nn.RNN | nn.LSTM | nn.GRU], layers: int = 1, both: bool = False
    ) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 12)
        self.cell = kind(12, HIDDEN, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(HIDDEN * (2 if both else 1), 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.cell(torch.relu(self.stem(x)))[0])
        return y


class LastStep(nn.Module):
    """The head reads the final state instead of the sequence."""

    def __init__(self, kind: type[nn.RNN | nn.LSTM | nn.GRU]) -> None:
        super().__init__()
        self.cell, self.head = kind(6, HIDDEN), nn.Linear(HIDDEN, 5)

    def forward(self, x: Tensor) -> Tensor:
        state = self.cell(x.transpose(0, 1))[1]
        y: Tensor = self.head((state[0] if isinstance(state, tuple) else state)[-1])
        return y


class Streaming(nn.Module):
    """Takes its state as an input and gives it back, as networks on devices do."""

    def __init__(self, kind: type[nn.RNN | nn.LSTM | nn.GRU]) -> None:
        super().__init__()
        self.stem, self.cell, self.head = nn.Linear(6, 12), kind(12, HIDDEN), nn.Linear(HIDDEN, 5)

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        given = state if isinstance(self.cell, nn.LSTM) else state[0]
        y, after = self.cell(torch.relu(self.stem(x)), given)
        return (self.head(y), *(after if isinstance(after, tuple) else (after,)))


class ConvRecurrent(nn.Module):
    """Convolution over time, GRU, linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(6, 16, 5, 2, 2), nn.BatchNorm1d(16), nn.ReLU())
        self.cell = nn.GRU(16, HIDDEN, batch_first=True)
        self.mid, self.head = nn.Linear(HIDDEN, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.cell(self.conv(x).transpose(1, 2))[0]
        out: Tensor = self.head(torch.relu(self.mid(y[:, -1])))
        return out


def keyword_spotting() -> nn.Module:
    """Depthwise-separable convolutions over time (Zhang et al., arXiv 1711.07128)."""
    layers: list[nn.Module] = [nn.Conv1d(8, 16, 5, 2, 2), nn.BatchNorm1d(16), nn.ReLU()]
    for inputs, outputs in ((16, 24), (24, 24)):
        layers += [nn.Conv1d(inputs, inputs, 3, padding=1, groups=inputs), nn.BatchNorm1d(inputs)]
        layers += [nn.ReLU(), nn.Conv1d(inputs, outputs, 1), nn.BatchNorm1d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(24, 12))


class Causal(nn.Module):
    """Two dilated convolutions that see the past alone, and a shortcut (arXiv 1803.01271)."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(inputs, outputs, 3, dilation=dilation)
        self.second = nn.Conv1d(outputs, outputs, 3, dilation=dilation)
        self.shortcut = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.past = 2 * dilation

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first(nn.functional.pad(x, (self.past, 0))))
        y = torch.relu(self.second(nn.functional.pad(y, (self.past, 0))))
        return torch.relu(self.shortcut(x) + y)


class Temporal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(Causal(6, 16, 1), Causal(16, 16, 2), Causal(16, 24, 4))
        self.head = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.body(x)[:, :, -1])
        return y


def _states(count: int) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(2)
    steps = torch.randn(7, 2, 6, generator=random)
    return (steps, *(torch.randn(1, 2, HIDDEN, generator=random) for _ in range(count)))


# A recurrent node holds two layers: its weights for the inputs, and those for its own state.
STATE = {"head": "feeds graph output", "cell": "can't be pruned|graph input|graph output"}
FAMILIES = [
    Family("lstm", lambda: Recurrent(nn.LSTM), sequences(7, 6), 4, 3, OUTPUT),
    Family("gru", lambda: Recurrent(nn.GRU), sequences(7, 6), 4, 3, OUTPUT),
    Family("rnn", lambda: Recurrent(nn.RNN), sequences(7, 6), 4, 3, OUTPUT, unrolled=(10, 1)),
    Family("lstm_both", lambda: Recurrent(nn.LSTM, both=True), sequences(7, 6), 4, 3, OUTPUT),
    Family("gru_both", lambda: Recurrent(nn.GRU, both=True), sequences(7, 6), 4, 3, OUTPUT),
    Family("lstm_two", lambda: Recurrent(nn.LSTM, 2), sequences(7, 6), 6, 5, OUTPUT),
    Family("gru_two_both", lambda: Recurrent(nn.GRU, 2, True), sequences(7, 6), 6, 5, OUTPUT),
    Family("lstm_last", lambda: LastStep(nn.LSTM), sequences(7, 6), 3, 2, OUTPUT),
    Family("gru_last", lambda: LastStep(nn.GRU), sequences(7, 6), 3, 2, OUTPUT),
    Family(
        "lstm_state", lambda: Streaming(nn.LSTM), lambda: _states(2), 4, 1, STATE, open_batch=False
    ),
    Family(
        "gru_state", lambda: Streaming(nn.GRU), lambda: _states(1), 4, 1, STATE, open_batch=False
    ),
    Family("conv_gru", ConvRecurrent, sequences(6, 20), 5, 4, OUTPUT),
    Family("keyword_spotting", keyword_spotting, sequences(8, 20), 6, 5),
    Family("tcn", Temporal, sequences(6, 20), 9, 8, OUTPUT),
]
