"""Loaders are cut to some images, of each class its share."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset, SubsetRandomSampler, TensorDataset, WeightedRandomSampler

from lowres.doctor.proof.loaders import Cut, Cutter, stratified


def dataset(count):
    labels = torch.arange(count) % 5
    return TensorDataset(torch.arange(count).float()[:, None], labels)


def cut(whole, *args, **kwargs):
    loader = object.__new__(DataLoader)
    given, trains = Cutter(0, 50, 20, whole).arguments(DataLoader.__init__, loader, args, kwargs)
    return DataLoader(**given), trains


def test_each_class_has_its_share_and_the_order_stays():
    labels = np.array([0] * 100 + [1] * 50 + [2] * 50)
    chosen = stratified(labels, 200, 40, 0)
    assert np.bincount(labels[chosen]).tolist() == pytest.approx([20, 10, 10], abs=1)
    assert chosen == sorted(set(chosen))
    assert chosen != stratified(labels, 200, 40, 1)
    assert len(stratified(None, 200, 40, 0)) == 40


def test_a_training_set_is_told_by_its_size():
    loader, trains = cut(1000, dataset(900), batch_size=10, shuffle=True, num_workers=2)
    assert (trains, len(loader.dataset), len(loader), loader.num_workers) == (True, 50, 5, 0)
    loader, trains = cut(1000, dataset(100), 10)
    assert (trains, len(loader.dataset), loader.batch_size) == (False, 20, 10)


def test_small_sets_stay_whole():
    loader, _ = cut(1000, dataset(15), batch_size=4)
    assert len(loader.dataset) == 15


def test_a_cut_set_answers_as_the_set_itself():
    base = dataset(1000)
    base.classes = ["a", "b"]
    loader, _ = cut(1000, base, batch_size=4)
    assert loader.dataset.classes == ["a", "b"]
    assert isinstance(loader.dataset, Cut)
    with pytest.raises(AttributeError):
        _ = loader.dataset.nothing


def test_samplers_are_cut():
    chosen = list(range(100, 900))
    loader, trains = cut(1000, dataset(1000), batch_size=10, sampler=SubsetRandomSampler(chosen))
    seen = torch.cat([x for x, _ in loader]).flatten().int().tolist()
    assert trains
    assert len(set(seen)) == 50
    assert set(seen) <= set(chosen)
    loader, trains = cut(1000, dataset(1000), batch_size=10, sampler=SubsetRandomSampler(range(100)))
    assert (trains, len(loader)) == (False, 2)
    loader, _ = cut(1000, dataset(1000), batch_size=10, sampler=WeightedRandomSampler([1.0] * 1000, 1000))
    assert len(list(loader)) == len(loader) == 5


def test_a_subset_s_labels_are_its_own():
    base = dataset(1000)
    base.targets = (torch.arange(1000) % 5).tolist()
    loader, _ = cut(900, Subset(base, list(range(0, 1000, 2)) * 2), batch_size=50)
    labels = next(iter(loader))[1]
    assert torch.bincount(labels).tolist() == pytest.approx([10] * 5, abs=1)
