import contextlib
import os
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowres.data.pickles import read_pickle
from lowres.errors import UserError

BATCH = {
    "data": np.arange(24, dtype=np.uint8).reshape(2, 12),
    "labels": [3, 7],
    "filenames": ["a.png", "b.png"],
    "fortran": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
    "one": np.int64(-5),
    "flag": np.bool_(True),
    "half": 0.5,
}


def check(read):
    assert set(read) == set(BATCH)
    assert read["labels"] == [3, 7]
    assert (read["one"], read["flag"], read["half"]) == (-5, True, 0.5)
    for key in ("data", "fortran"):
        np.testing.assert_array_equal(read[key], BATCH[key])
        assert read[key].dtype == BATCH[key].dtype


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_what_python_3_writes(protocol):
    check(read_pickle(pickle.dumps(BATCH, protocol), "batch"))


def test_reads_what_python_2_wrote(dump_python2):
    data = dump_python2({key.encode(): value for key, value in BATCH.items()})
    assert b"cnumpy.core.multiarray\n_reconstruct" in data
    check(read_pickle(data, "batch"))


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_malicious_pickle_is_named_and_not_run(protocol, tmp_path):
    marker = tmp_path / "marker"
    data = pickle.dumps({"data": Calls(os.system, f"echo run > {marker}")}, protocol)
    pickle.loads(data)
    assert marker.exists()  # it works against others
    marker.unlink()
    with pytest.raises(UserError, match=rf"^data_batch_1: asks for {os.name if os.name == 'nt' else 'posix'}.system"):
        read_pickle(data, "data_batch_1")
    assert not marker.exists()


@pytest.mark.parametrize(
    "function",
    [eval, exec, getattr, __import__, open, np.load, np.fromfile, np.array, bytearray, pickle.loads, print],
)
def test_every_other_name_is_refused(function):
    with pytest.raises(UserError, match=rf"asks for .*{function.__name__}, which no data set needs"):
        read_pickle(pickle.dumps([function], 4), "batch")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__base__\x93.", "asks for numpy.ndarray.__base__"),
        (b"cnumpy\ndtype\n}S'__call__'\nI1\nsb.", "sets the state of a function"),
        (b"cnumpy\ndtype\n(}S'_function'\nI1\nstb.", "sets the state of a function"),
        (b"(S'ls'\ni__builtin__\neval\n.", "asks for __builtin__.eval"),
        (b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.", "encodes text"),
        (b"\x80\x02\x82\x01.", "cut short or damaged"),  # an extension code
        (b"Pname\n.", "cut short or damaged"),  # a persistent id
        (b"]q\x00h\x00a.", "holds a list"),
        (b"", "0 bytes found"),
    ],
)
def test_odd_opcodes_are_refused(data, message):
    with pytest.raises(UserError, match=message):
        read_pickle(data, "batch")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([{}], dtype=object), "only plain numbers"),
        (np.zeros(2, dtype=[("x", "u1"), ("y", "O")]), "only plain numbers"),
        (np.array(["text"]), "only plain numbers"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "only plain numbers"),
    ],
)
def test_arrays_of_anything_but_numbers_are_refused(array, message):
    with pytest.raises(UserError, match=message):
        read_pickle(pickle.dumps({"data": array}, 2), "batch")


def test_a_shape_that_promises_more_than_the_bytes_is_refused():
    data = pickle.dumps({"data": np.zeros((7, 11), np.uint8)}, 2)
    for shape in (b"J\xff\xff\xff\x3fK\x0b", b"J\xff\xff\xff\xffK\x0b"):
        with pytest.raises(UserError, match="holds an array of shape"):
            read_pickle(data.replace(b"K\x07K\x0b", shape), "batch")


WHOLE = pickle.dumps(BATCH, 2)


@given(st.integers(0, len(WHOLE) - 1))
@settings(max_examples=60, deadline=None)
def test_a_pickle_cut_anywhere_is_an_error_with_the_size(end):
    with pytest.raises(UserError, match=f"^batch: cut short or damaged, {end:,} bytes found"):
        read_pickle(WHOLE[:end], "batch")


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_a_flipped_byte_gives_data_or_an_error_for_the_user(position, flip):
    damaged = bytearray(WHOLE)
    damaged[position] ^= flip
    with contextlib.suppress(UserError):
        assert isinstance(read_pickle(bytes(damaged), "batch"), dict)


def test_a_note_of_a_huge_number_takes_no_memory_for_those_before_it():
    note = b"r" + (2**32 - 1).to_bytes(4, "little")  # LONG_BINPUT: the unpickler in C would make room for all before it
    tracemalloc.start()
    try:
        assert read_pickle(b"\x80\x02}" + note + b".", "batch") == {}
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
