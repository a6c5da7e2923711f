"""The network that Anand really trained: his published arrays must give his published predictions."""

import numpy as np
import pytest
import torch

from lowres.models import create_model, load_weights


@pytest.fixture(scope="module")
def published(golden):
    model = create_model("semxresnet20", projection="stage", shortcut_norm=False, padding="same")
    report = load_weights(model, golden)
    assert set(report.ignored) == {"expected/predictions", "expected/probabilities"}
    return model.eval()


def test_probabilities(published, golden, cifar_test):
    with torch.inference_mode():
        probabilities = published(cifar_test.images[:512]).softmax(dim=1).numpy()
    assert np.abs(probabilities - np.load(golden)["expected/probabilities"]).max() < 1e-4


@pytest.mark.slow
def test_predictions(published, golden, cifar_test):
    with torch.inference_mode():
        predictions = torch.cat([published(batch).argmax(dim=1) for batch in cifar_test.images.split(500)])
    different = (predictions.numpy() != np.load(golden)["expected/predictions"]).sum()
    assert different <= 5, "more than ties can explain"
    assert abs((predictions == cifar_test.labels).sum().item() - 9310) <= different
