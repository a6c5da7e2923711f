import numpy as np
import pytest

from lowres.data import info, load, verify
from lowres.data.images import content_checksum
from lowres.errors import UserError


@pytest.fixture
def named(small10, monkeypatch):
    monkeypatch.setitem(load.SPECS, "cifar10", small10.spec)
    return small10


def test_verify_gives_checksums_that_do_not_depend_on_the_layout(named, tmp_path):
    named.binary(tmp_path / "a")
    named.pickles(tmp_path / "b")
    binary, pickles = verify("cifar10", tmp_path / "a"), verify("cifar10", tmp_path / "b")
    assert binary.content == pickles.content == content_checksum(load.load_dataset("cifar10", tmp_path / "a"))
    assert binary.ok
    assert not pickles.ok
    assert len(binary.files) == 6
    assert binary.files != pickles.files


def test_verify_refuses_what_is_not_whole(named, tmp_path):
    (named.binary(tmp_path) / "data_batch_1.bin").write_bytes(b"")
    with pytest.raises(UserError, match="0 bytes found"):
        verify("cifar10", tmp_path)


def test_info_counts_and_finds_duplicates(named, tmp_path):
    named.images["test"][0] = named.images["train"][7]
    named.images["train"][9] = named.images["train"][8]
    named.images["test"][1] = named.images["train"][named.labels["train"] != named.labels["test"][1]][0]
    named.binary(tmp_path)
    report = info("cifar10", tmp_path)
    assert report.shape == (3, 32, 32)
    assert report.train_counts == (4,) * 10
    assert report.test_counts == (2,) * 10
    assert report.duplicates == 2
    assert report.train_duplicates == 1
    assert report.conflicts == 1 + (named.labels["test"][0] != named.labels["train"][7])
    np.testing.assert_allclose(report.mean, named.images["train"].mean((0, 2, 3)) / 255)
    np.testing.assert_allclose(report.std, named.images["train"].std((0, 2, 3)) / 255)
    assert report.warnings == ()


def test_info_of_the_digits():
    report = info("digits")
    assert sum(report.train_counts) == 1437
    assert report.duplicates == 0
    assert report.mean[0] == report.mean[1] == report.mean[2]
