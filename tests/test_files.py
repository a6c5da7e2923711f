import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lowres.errors import UserError
from lowres.files import atomic, expanded, write_json, write_text


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_and_its_folder_made(tmp_path):
    path = tmp_path / "deep" / "down" / "file"
    with atomic(path) as temporary:
        assert temporary.parent == path.parent  # a rename across disks would be a copy
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert listing(path.parent) == ["file"]


class Broken(Exception):
    pass


@pytest.mark.parametrize("keep", [False, True])
def test_an_error_inside_leaves_the_old_file_and_nothing_else(tmp_path, keep):
    path, kept = tmp_path / "file", tmp_path / "kept"
    path.write_bytes(b"old")
    kept.write_bytes(b"older")

    def fail():
        with atomic(path, keep=kept if keep else None) as temporary:
            temporary.write_bytes(b"half of the n")
            raise Broken

    with pytest.raises(Broken):
        fail()
    assert path.read_bytes() == b"old"
    assert kept.read_bytes() == b"older"
    assert listing(tmp_path) == ["file", "kept"]


def test_an_interruption_inside_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic(path):
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert listing(tmp_path) == ["file"]


def test_keep_moves_the_file_that_is_replaced(tmp_path):
    path, kept = tmp_path / "file", tmp_path / "kept"
    for content in (b"1", b"2", b"3"):
        with atomic(path, keep=kept) as temporary:
            temporary.write_bytes(content)
        assert path.read_bytes() == content
        assert kept.exists() == (content != b"1")
    assert kept.read_bytes() == b"2"
    assert listing(tmp_path) == ["file", "kept"]


def test_at_every_moment_one_of_both_is_whole(tmp_path, monkeypatch):
    """Whichever rename a kill follows, `path` or `keep` holds a whole file."""
    path, kept = tmp_path / "file", tmp_path / "kept"
    for content in (b"whole 1", b"whole 2"):
        with atomic(path, keep=kept) as temporary:
            temporary.write_bytes(content)
    whole = {b"whole 1", b"whole 2", b"whole 3"}
    looked = []
    rename = os.replace

    def look(*arguments, **options):
        rename(*arguments, **options)
        there = [p.read_bytes() for p in (path, kept) if p.exists()]
        assert there
        assert whole.issuperset(there)
        looked.append(there)

    monkeypatch.setattr(os, "replace", look)
    with atomic(path, keep=kept) as temporary:
        temporary.write_bytes(b"whole 3")
    monkeypatch.undo()
    assert len(looked) == 2
    assert (path.read_bytes(), kept.read_bytes()) == (b"whole 3", b"whole 2")


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_others_may_read_what_the_umask_lets_them(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "file", "x")
        assert os.umask(mask) == mask  # looked at, not changed
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask


def test_text_is_utf_8_and_json_reads_back(tmp_path):
    write_text(tmp_path / "text", "Küchenschelle ✓\n")
    assert (tmp_path / "text").read_bytes() == "Küchenschelle ✓\n".encode()
    value = {"accuracy": 91.25, "name": "Küche", "none": None, "rows": [1, 2]}
    write_json(tmp_path / "json", value)
    raw = (tmp_path / "json").read_text(encoding="utf-8")
    assert json.loads(raw) == value
    assert raw.endswith("}\n")
    assert "Küche" in raw


def test_what_is_no_json_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "json", [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / "json", {"a": object()})
    assert json.loads((tmp_path / "json").read_text(encoding="utf-8")) == [1]


FULL = """
import errno, resource, sys
from pathlib import Path
from lowres.files import atomic

path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    with atomic(path, keep=path.with_name("kept")) as temporary:
        temporary.write_bytes(bytes(200_000))
except OSError as error:
    sys.exit(0 if error.errno == errno.EFBIG else f"another error: {error}")
sys.exit("no error")
"""


def test_a_write_that_the_system_cuts_short_leaves_the_old_file_whole(tmp_path):
    pytest.importorskip("resource")
    path = tmp_path / "file"
    path.write_bytes(b"old" * 1000)
    done = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert path.read_bytes() == b"old" * 1000
    assert listing(tmp_path) == ["file"]


def test_a_home_folder_that_nobody_has_is_told():
    assert expanded("~/runs") == Path.home() / "runs"
    with pytest.raises(UserError, match=r"^~nobody-at-all/runs: no home folder has that name"):
        expanded("~nobody-at-all/runs")
