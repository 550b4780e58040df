"""PyTorch modules at the door."""

import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT, run_onnx
from torch import nn

import explorer
from explorer.errors import ModelError


def test_the_same_outputs_at_any_batch() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5))
    module(torch.randn(4, 3, 8, 8))  # gives the batch norm statistics of its own
    model = explorer.Model.from_torch(module, (torch.randn(2, 3, 8, 8),), "net")
    assert module.training
    module.eval()
    x = torch.randn(5, 3, 8, 8)
    found = run_onnx(model.data, {model.inputs[0].name: x.numpy()})[0]
    np.testing.assert_allclose(found, module(x).detach().numpy(), atol=1e-5)
    assert model.name == "net"


class FixedBatch(nn.Module):
    """Reshapes to a number of samples that it has written down."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(2, 12) @ torch.ones(12, 3)


def test_a_module_with_a_fixed_batch() -> None:
    model = explorer.Model.from_torch(FixedBatch(), (torch.randn(2, 3, 4),))
    assert model.inputs[0].shape == (2, 3, 4)


class Untraceable(nn.Module):
    """Decides by its input's values in Python."""

    def forward(self, x: torch.Tensor) -> object:
        return {"positive": x}[str(x.sum().item())]


@pytest.mark.parametrize(("module", "part"), [(Untraceable(), "Untraceable"), (42, "int is not")])
def test_what_can_not_be_exported_gets_one_sentence(module: object, part: str) -> None:
    with pytest.raises(ModelError) as caught:
        explorer.Model.from_torch(module, (torch.randn(2, 3),))
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_path_of_this_machine_is_left_in_the_file() -> None:
    model = explorer.Model.from_torch(nn.Linear(3, 2), (torch.randn(2, 3),))
    proto = onnx.load_model_from_string(model.data)
    assert not any(node.metadata_props for node in proto.graph.node)
    assert str(ROOT).encode() not in model.data
    assert b"site-packages" not in model.data
