import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, recall_score
from torch import nn

from lowres.errors import UserError
from lowres.evaluation import Score, compute_logits, score, wilson
from lowres.training.device import Placement

CPU = Placement(torch.device("cpu"), "fp32", channels_last=False)


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    [
        # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table 1, method 3.
        (81, 263, 25.53, 36.62),
        (15, 148, 6.24, 16.05),
        (0, 20, 0.0, 16.11),
        (1, 29, 0.61, 17.18),
        (9125, 10_000, 90.68, 91.79),
    ],
)
def test_the_interval_has_its_published_values(right, images, low, high):
    assert wilson(right, images) == pytest.approx((low, high), abs=0.0051)


@settings(deadline=None)
@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons_formula(counts):
    right, images = counts
    z, share = 1.959963984540054, right / images
    centre = (share + z * z / (2 * images)) / (1 + z * z / images)
    half = z / (1 + z * z / images) * math.sqrt(share * (1 - share) / images + z * z / (4 * images * images))
    low, high = wilson(right, images)
    assert (low, high) == pytest.approx((100 * (centre - half), 100 * (centre + half)), abs=1e-7)
    assert 0 <= low <= 100 * share + 1e-9
    assert 100 * share - 1e-9 <= high <= 100
    mirrored = wilson(images - right, images)
    assert mirrored == pytest.approx((100 - high, 100 - low), abs=1e-7)


@st.composite
def labelled(draw):
    """Labels, logits without ties, and names of the classes."""
    classes = draw(st.integers(2, 12))
    images = draw(st.integers(1, 60))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = generator.integers(0, draw(st.integers(1, classes)), images)  # classes without images, too
    logits = generator.normal(0, draw(st.sampled_from([0.1, 3.0])), (images, classes)).astype(np.float32)
    logits[np.arange(images), labels] += draw(st.sampled_from([0.0, 1.0, 100.0]))
    return torch.from_numpy(logits), torch.from_numpy(labels), tuple(f"class {i}" for i in range(classes))


@settings(deadline=None)
@given(labelled())
def test_figures_are_those_of_scikit_learn(case):
    logits, labels, classes = case
    found = score(logits, labels, classes)
    y, guesses, names = labels.numpy(), logits.argmax(1).numpy(), range(len(classes))
    matrix = confusion_matrix(y, guesses, labels=names)
    assert found.confusion == tuple(map(tuple, matrix.tolist()))
    assert found.images == len(y)
    assert found.errors == int((y != guesses).sum())
    assert found.accuracy == pytest.approx(100 * accuracy_score(y, guesses), abs=1e-12)
    assert found.interval == wilson(found.images - found.errors, found.images)
    recalls = recall_score(y, guesses, labels=names, average=None, zero_division=np.nan)
    assert list(found.per_class) == list(classes)
    for mine, theirs in zip(found.per_class.values(), recalls, strict=True):
        assert math.isnan(theirs) if mine is None else mine == pytest.approx(100 * theirs, abs=1e-12)
    shares = logits.double().softmax(1).numpy()
    assert found.loss == pytest.approx(log_loss(y, shares, labels=list(names)), rel=1e-6, abs=1e-12)


@settings(deadline=None)
@given(labelled())
def test_everything_goes_through_json_exactly(case):
    found = score(*case)
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert values["accuracy"] == found.accuracy
    assert values["interval"] == list(found.interval)
    assert values["per_class"] == found.per_class
    again = Score(tuple(map(tuple, values["confusion"])), values["loss"], tuple(values["classes"]))
    assert again == found


def test_the_order_of_the_images_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 10, generator=generator)
    labels = torch.randint(0, 10, (500,), generator=generator)
    order = torch.randperm(500, generator=generator)
    classes = tuple("0123456789")
    a, b = score(logits, labels, classes), score(logits[order], labels[order], classes)
    assert a.confusion == b.confusion
    assert a.loss == pytest.approx(b.loss, rel=1e-12)


class Mixed(nn.Module):
    """A network whose answers tell its mode; its norm is frozen, as in fine-tuning."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(12, 4)
        self.dropout = nn.Dropout(0.5)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(self.dropout(self.linear(x.flatten(1))))


def batches(count=3, size=5):
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        yield torch.randn(size, 3, 2, 2, generator=generator), torch.randint(0, 4, (size,), generator=generator)


@pytest.mark.parametrize("training", [True, False])
def test_logits_are_those_of_evaluation_and_nothing_is_left_behind(training):
    torch.manual_seed(0)
    model = Mixed().train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    logits, labels = compute_logits(model, batches(), CPU)
    assert model.training is training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert logits.shape == (15, 4)
    assert logits.dtype == torch.float32
    x, y = (torch.cat(parts) for parts in zip(*batches(), strict=True))
    assert torch.equal(labels, y)
    with torch.no_grad():
        torch.testing.assert_close(logits, model.eval()(x))


def test_the_mode_is_restored_after_an_error_too():
    model = Mixed().train()
    with pytest.raises(RuntimeError):
        compute_logits(model, [(torch.zeros(1, 5), torch.zeros(1, dtype=torch.int64))], CPU)
    assert model.training


def test_parts_that_were_frozen_stay_frozen():
    model = Mixed().train()
    model.norm.eval()
    compute_logits(model, batches(), CPU)
    assert model.dropout.training
    assert not model.norm.training


def test_under_autocast_logits_are_still_float32():
    placement = Placement(torch.device("cpu"), "bf16", channels_last=True)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    logits, labels = compute_logits(model, batches(), placement)
    assert logits.dtype == torch.float32
    exact, _ = compute_logits(model, batches(), CPU)
    torch.testing.assert_close(logits, exact, atol=0.05, rtol=0.05)
    assert F.cross_entropy(logits, labels).isfinite()


def test_nothing_to_evaluate_on():
    with pytest.raises(UserError, match="no images to evaluate on"):
        compute_logits(Mixed(), [], CPU)
