import contextlib
import io
import os
import pickle
import shutil
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lowres.data import content_checksum, load_dataset, mean_std
from lowres.data.cifar import load_cifar
from lowres.data.specs import CIFAR10, CIFAR100
from lowres.errors import UserError

WRITERS = {
    "pickles": lambda small, root: small.pickles(root),
    "pickles of Python 3": lambda small, root: small.pickles(root, pickle.dumps),
    "binary": lambda small, root: small.binary(root),
    "archive of pickles": lambda small, root: small.archive(root, "pickles"),
    "archive of binary files": lambda small, root: small.archive(root, "binary"),
    "npz": lambda small, root: small.npz(root),
    "parquet": lambda small, root: small.parquet(root),
    "pngs": lambda small, root: small.pngs(root),
}


@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_gives_the_same_tensors(small, layout, tmp_path):
    written = WRITERS[layout](small, tmp_path)
    for place in {written, tmp_path}:  # what holds the layout, and the layout itself
        dataset = load_cifar(small.spec, place)
        for split in ("train", "test"):
            images = getattr(dataset, split)
            np.testing.assert_array_equal(images.images, small.images[split])
            np.testing.assert_array_equal(images.labels, small.labels[split])
            assert images.classes == small.spec.classes
            assert images.images.is_contiguous()
        assert dataset.files
        assert all(digest.startswith(("md5:", "sha256:")) for digest in dataset.files.values())
        # Where a checksum is published these look-alikes do not have it, elsewhere nothing is claimed.
        assert bool(dataset.warnings) == ("pickles" in layout or "archive" in layout)


@pytest.mark.parametrize("layout", ["npz", "parquet", "pngs"])
def test_layouts_are_found_under_the_name_of_the_data_set(small, layout, tmp_path):
    folder = tmp_path / small.spec.name
    folder.mkdir()
    WRITERS[layout](small, folder if layout != "npz" else tmp_path)
    assert len(load_cifar(small.spec, tmp_path).train) == small.spec.count("train")


def test_the_first_layout_is_read_and_none_is_mixed(small10, tmp_path):
    binary = small10.binary(tmp_path)
    small10.npz(tmp_path)
    assert next(iter(load_cifar(small10.spec, tmp_path).files)) == "cifar-10-batches-bin/data_batch_1.bin"
    (binary / "data_batch_3.bin").unlink()
    with pytest.raises(UserError, match=r"cifar-10-batches-bin lacks data_batch_3\.bin"):
        load_cifar(small10.spec, tmp_path)
    shutil.rmtree(binary)
    assert list(load_cifar(small10.spec, tmp_path).files) == ["cifar10.npz"]


def test_cifar10_is_not_taken_for_cifar100(small10, tmp_path):
    small10.parquet(tmp_path)
    with pytest.raises(UserError, match="expected columns 'img' and 'fine_label' of cifar100, found img, label"):
        load_cifar(CIFAR100, tmp_path)
    with pytest.raises(UserError, match="holds no train, so it is not an archive of cifar100"):
        load_cifar(CIFAR100, small10.archive(tmp_path, "binary"))


def test_nothing_there_says_where_it_looked_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOWRES_DATA_DIR", str(tmp_path / "elsewhere"))
    with pytest.raises(UserError) as error:
        load_dataset("cifar10")
    message = str(error.value)
    assert str(tmp_path / "elsewhere") in message
    assert "or data (which does not exist)" in message
    assert "`lowres data fetch cifar10`" in message
    assert "\n" not in message
    with pytest.raises(UserError, match="lowres data fetch cifar100"):
        load_dataset("cifar100", tmp_path)


def test_without_a_folder_the_variable_comes_before_the_current_folder(small10, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOWRES_DATA_DIR", raising=False)
    (tmp_path / "data").mkdir()
    small10.npz(tmp_path / "data")
    assert list(load_cifar(small10.spec).files) == ["cifar10.npz"]
    small10.binary(tmp_path / "elsewhere")
    monkeypatch.setenv("LOWRES_DATA_DIR", str(tmp_path / "elsewhere"))
    assert "cifar10.npz" not in load_cifar(small10.spec).files


def test_a_truncated_binary_file_is_named_with_both_sizes(small10, tmp_path):
    path = small10.binary(tmp_path) / "data_batch_2.bin"
    size = path.stat().st_size
    os.truncate(path, size - 1)
    with pytest.raises(UserError, match=rf"data_batch_2\.bin: {size - 1:,} bytes found, {size:,} expected"):
        load_cifar(small10.spec, tmp_path)


@pytest.mark.parametrize("missing", [1, 10_000])
def test_a_truncated_pickle_is_named_with_its_size(small10, tmp_path, missing):
    path = small10.pickles(tmp_path) / "test_batch"
    size = path.stat().st_size - missing
    os.truncate(path, size)
    with pytest.raises(UserError, match=f"cifar-10-batches-py/test_batch: cut short.*{size:,} bytes found"):
        load_cifar(small10.spec, tmp_path)


def test_a_malicious_batch_is_named_and_not_run(small10, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.system, (f"echo run > {tmp_path / 'marker'}",)

    path = small10.pickles(tmp_path) / "data_batch_4"
    path.write_bytes(pickle.dumps({"data": Bomb(), "padding": b"0" * 100_000}, 2))
    with pytest.raises(UserError, match=r"cifar-10-batches-py/data_batch_4: asks for \w+\.system"):
        load_cifar(small10.spec, tmp_path)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda batch: batch.pop(b"labels"), "expected 'data' and 'labels' of cifar10, found 'batch_label'"),
        (lambda batch: batch[b"labels"].pop(), r"expected 8 whole numbers as labels, found int64 \(7,\)"),
        (lambda batch: batch.update({b"labels": [b"cat"] * 8}), "expected 8 whole numbers"),
        (lambda batch: batch.update({b"data": batch[b"data"].reshape(16, -1)}), r"expected uint8 \(8, 3072\)"),
        (lambda batch: batch.update({b"data": batch[b"data"] / 255}), r"pixels are float64 \(8, 3072\)"),
        (lambda batch: batch[b"labels"].__setitem__(5, 10), r"data_batch_1: label 10 at image 5, expected 0 to 9"),
        (lambda batch: batch[b"labels"].__setitem__(5, -1), r"data_batch_1: label -1 at image 5"),
    ],
)
def test_what_is_wrong_in_a_pickle_is_said(small10, tmp_path, change, message, dump_python2):
    first = True

    def dump(batch):
        nonlocal first
        if first:
            change(batch)
        first = False
        return dump_python2(batch)

    small10.pickles(tmp_path, dump)
    with pytest.raises(UserError, match=message):
        load_cifar(small10.spec, tmp_path)


def test_labels_out_of_range_are_placed(small10, tmp_path):
    path = small10.binary(tmp_path) / "data_batch_3.bin"
    data = bytearray(path.read_bytes())
    data[3073 * 2] = 255
    data[3073 * 4] = 10
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"data_batch_3\.bin: label 255 at image 18, expected 0 to 9 \(2 such"):
        load_cifar(small10.spec, tmp_path)


def test_uneven_classes_are_counted(small10, tmp_path):
    path = small10.binary(tmp_path) / "test_batch.bin"
    data = bytearray(path.read_bytes())
    first = data[0]
    data[0] = (first + 1) % 10
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"[13] test images of class '\w+', expected 2 of each class"):
        load_cifar(small10.spec, tmp_path)


def test_missing_and_surplus_images_are_counted(small10, tmp_path):
    path = small10.npz(tmp_path)
    with pytest.raises(UserError, match="40 train images found, 50 expected in cifar10"):
        load_cifar(replace(small10.spec, train_per_class=5), path)
    with pytest.raises(UserError, match=r"40 train images with those of .*, 30 expected"):
        load_cifar(replace(small10.spec, train_per_class=3), path)


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_a_truncated_archive_says_so(small10, tmp_path, keep):
    path = small10.archive(tmp_path, "binary")
    os.truncate(path, keep)
    with pytest.raises(UserError, match=rf"cut short or damaged, {keep:,} bytes found.*fetch"):
        load_cifar(small10.spec, path)


def test_pixels_that_were_damaged_in_an_archive_are_noticed(small10, tmp_path):
    path = small10.archive(tmp_path, "binary")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # noise is stored as it is, so this is a pixel
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"the archive is cut short or damaged.*CRC"):
        load_cifar(small10.spec, path)


def test_an_archive_that_would_unpack_to_gigabytes_is_refused(small10, tmp_path):
    member = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
    member.size = 1 << 40
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w") as archive:
        archive.fileobj.write(member.tobuf())
    with pytest.raises(UserError, match="data_batch_1 would take 1,099,511,627,776 bytes"):
        load_cifar(small10.spec, path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y_test": None}, "lacks 'y_test'"),
        ({"x_train": np.zeros((40, 32, 32, 3), np.float32)}, r"x_train is float32 \(40, 32, 32, 3\), expected uint8"),
        ({"x_train": np.zeros((40, 28, 28), np.uint8)}, "x_train is uint8"),
        ({"y_train": np.zeros(39, np.int64)}, r"y_train is int64 \(39,\), expected whole numbers \(40,\)"),
        ({"y_train": np.zeros((40, 10), np.int64)}, r"y_train is int64 \(40, 10\)"),
        ({"y_train": np.array([{}] * 40)}, "not an .npz of plain arrays"),
    ],
)
def test_what_is_wrong_in_an_npz_is_said(small10, tmp_path, arrays, message):
    path = small10.npz(tmp_path)
    with np.load(path) as before:
        after = {key: before[key] for key in before.files} | arrays
    np.savez(path, **{key: value for key, value in after.items() if value is not None})
    with pytest.raises(UserError, match=message):
        load_cifar(small10.spec, path)


def test_an_npz_may_hold_planes_first_and_flat_labels(small10, tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(
        path,
        **{f"x_{split}": x for split, x in small10.images.items()},
        **{f"y_{split}": y.astype(np.uint8) for split, y in small10.labels.items()},
    )
    np.testing.assert_array_equal(load_cifar(small10.spec, path).test.images, small10.images["test"])


def test_an_npz_with_a_wrong_byte_anywhere_says_so(small10, tmp_path):
    path = small10.npz(tmp_path)
    with np.load(path) as arrays:
        np.savez_compressed(path, **dict(arrays))
    whole = path.read_bytes()
    for place in range(40, len(whole), len(whole) // 60):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with contextlib.suppress(UserError):  # a few bytes mean nothing: times, attributes
            load_cifar(small10.spec, tmp_path)


def test_a_damaged_npz_says_so(small10, tmp_path):
    path = small10.npz(tmp_path)
    os.truncate(path, 5000)
    with pytest.raises(UserError, match="damaged"):
        load_cifar(small10.spec, path)
    np.savez_compressed(path, x_train=np.zeros((1000, 3072), np.uint8))
    with pytest.raises(UserError, match=r"unpacks to .* far more than cifar10 holds"):
        load_cifar(small10.spec, path)


def test_parquet_without_pyarrow_names_it(small10, tmp_path, monkeypatch):
    small10.parquet(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="pip install pyarrow"):
        load_cifar(small10.spec, tmp_path)


def test_parquet_files_say_what_their_labels_mean(small10, tmp_path):
    small10.parquet(tmp_path / "good", small10.spec.classes)
    assert len(load_cifar(small10.spec, tmp_path / "good").test) == 20
    small10.parquet(tmp_path / "bad", small10.spec.classes[::-1])
    with pytest.raises(UserError, match=r"its classes are truck, ship, .*not those of cifar10 in their order"):
        load_cifar(small10.spec, tmp_path / "bad")
    path = tmp_path / "good" / "plain_text" / "test-00001-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"test-00001-of-00002\.parquet: not a parquet file of images, or a damaged"):
        load_cifar(small10.spec, tmp_path / "good")


def test_what_is_wrong_in_a_folder_of_pngs_is_said(small10, tmp_path):
    small10.pngs(tmp_path)
    (tmp_path / "train" / "cat" / ".hidden.png").write_bytes(b"")
    path = next((tmp_path / "train" / "cat").glob("[0-9]*.png"))
    good = path.read_bytes()
    path.write_bytes(good[:200])
    with pytest.raises(UserError, match=rf"cat.{path.name}: cannot be read as an image"):
        load_cifar(small10.spec, tmp_path)
    large = io.BytesIO()
    Image.new("RGB", (33, 32)).save(large, format="PNG")
    path.write_bytes(large.getvalue())
    with pytest.raises(UserError, match="33 x 32 pixels, expected 32 x 32"):
        load_cifar(small10.spec, tmp_path)
    path.write_bytes(good)
    (tmp_path / "test" / "zebra").mkdir()
    with pytest.raises(UserError, match="zebra is not a class of cifar10"):
        load_cifar(small10.spec, tmp_path)
    (tmp_path / "test" / "zebra").rmdir()
    shutil.rmtree(tmp_path / "test" / "truck")
    with pytest.raises(UserError, match="truck is missing"):
        load_cifar(small10.spec, tmp_path)


def test_checksums_are_those_that_torchvision_lists():
    from torchvision.datasets import CIFAR10 as TorchCIFAR10
    from torchvision.datasets import CIFAR100 as TorchCIFAR100

    for spec, peer in ((CIFAR10, TorchCIFAR10), (CIFAR100, TorchCIFAR100)):
        listed = dict(peer.train_list + peer.test_list) | {peer.filename: peer.tgz_md5}
        assert listed.items() <= spec.md5.items()
        assert spec.pickle_folder == peer.base_folder
        assert [name for name, _ in peer.train_list] == list(spec.train_files)
    assert list(CIFAR100.classes) == sorted(set(CIFAR100.classes))
    assert len(CIFAR100.classes) == 100


REAL = Path(os.environ.get("LOWRES_DATA_DIR", "data"))


@pytest.mark.skipif(not (REAL / "cifar-10-batches-bin").is_dir(), reason="needs CIFAR-10 in LOWRES_DATA_DIR")
def test_the_real_cifar10():
    began = time.perf_counter()
    dataset = load_dataset("cifar10", REAL / "cifar-10-batches-bin")
    assert time.perf_counter() - began < 20  # about one second on an idle machine
    assert dataset.warnings == ()
    assert dataset.train.images.shape == (50_000, 3, 32, 32)
    assert dataset.train.counts() == (5000,) * 10
    assert dataset.test.counts() == (1000,) * 10
    mean, std = mean_std(dataset.train.images)
    assert [round(m, 4) for m in mean] == [0.4914, 0.4822, 0.4465]
    assert [round(s, 4) for s in std] == [0.2470, 0.2435, 0.2616]
    assert [dataset.classes[i] for i in dataset.train.labels[:3]] == ["frog", "truck", "truck"]


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "cifar-10-batches-bin").is_dir(), reason="needs CIFAR-10 in LOWRES_DATA_DIR")
@pytest.mark.parametrize("other", ["cifar-10-batches-py", "cifar10.npz"])
def test_the_real_cifar10_is_the_same_in_other_layouts(other):
    if not (REAL / other).exists():
        pytest.skip(f"no {other}")
    expected = content_checksum(load_dataset("cifar10", REAL / "cifar-10-batches-bin"))
    assert content_checksum(load_dataset("cifar10", REAL / other)) == expected
