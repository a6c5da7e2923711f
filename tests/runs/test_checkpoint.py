import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lowres.errors import UserError
from lowres.runs import checkpoint


def state(epoch: int) -> dict:
    return {"epoch": epoch, "weights": torch.full((1000,), float(epoch))}


def test_what_is_saved_is_loaded(tmp_path):
    checkpoint.save(tmp_path, state(3))
    found, warning = checkpoint.load(tmp_path)
    assert (found["epoch"], warning) == (3, "")
    assert torch.equal(found["weights"], state(3)["weights"])


def test_the_one_before_is_kept(tmp_path):
    for epoch in (1, 2, 3):
        checkpoint.save(tmp_path, state(epoch))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.previous.pt", "checkpoint.pt"]
    (tmp_path / "checkpoint.pt").unlink()
    found, warning = checkpoint.load(tmp_path)
    assert found["epoch"] == 2
    assert warning == "checkpoint.pt is missing: going on from checkpoint.previous.pt"


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_checkpoint_is_never_taken_for_a_sound_one(tmp_path, data):
    checkpoint.save(tmp_path, state(1))
    checkpoint.save(tmp_path, state(2))
    path = tmp_path / "checkpoint.pt"
    whole = path.read_bytes()
    if data.draw(st.booleans(), label="cut off"):
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    else:
        place = data.draw(st.integers(0, len(whole) - 1))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :])
    found, warning = checkpoint.load(tmp_path)
    # A flipped bit in the archive's padding or dates harms nothing; everywhere else the one before steps in.
    assert found["epoch"] == (1 if warning else 2)
    assert torch.equal(found["weights"], state(found["epoch"])["weights"])


def test_a_damaged_one_does_not_push_out_the_one_before(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, state(1))
    checkpoint.save(tmp_path, state(2))
    (tmp_path / "checkpoint.pt").write_bytes(b"PK")
    assert checkpoint.load(tmp_path)[0]["epoch"] == 1
    replace = Path.replace

    def killed(self, target):
        if self.suffix == ".part":  # before the new one has its name
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, state(2))
    assert checkpoint.load(tmp_path)[0]["epoch"] == 1


@pytest.mark.parametrize("foreign", [[1, 2], torch.zeros(3)])
def test_what_is_no_checkpoint_is_damaged(tmp_path, foreign):
    torch.save(foreign, tmp_path / "checkpoint.pt")
    with pytest.raises(UserError, match=r"checkpoint\.pt is damaged \(it is not what lowres writes\)"):
        checkpoint.load(tmp_path)


def test_two_damaged_ones_are_an_error_that_says_so(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    (tmp_path / "checkpoint.previous.pt").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"checkpoint.pt is damaged.*checkpoint.previous.pt is damaged.*start anew"):
        checkpoint.load(tmp_path)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    marker = tmp_path / "marker"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (marker,))

    torch.save({"format": 1, "epoch": 1, "weights": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load(tmp_path)
    assert not marker.exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file sizes")
def test_a_disk_that_fills_up_leaves_the_last_good_one(tmp_path):
    """The kernel refuses to write past a limit, in the middle of the file, as it does on a full disk."""
    script = """
        import resource, sys, torch
        from pathlib import Path
        from lowres.errors import UserError
        from lowres.runs import checkpoint
        folder = Path(sys.argv[1])
        checkpoint.save(folder, {"epoch": 1, "weights": torch.zeros(10_000)})
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            checkpoint.save(folder, {"epoch": 2, "weights": torch.zeros(10_000)})
        except UserError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert "the last good checkpoint is kept: make room, then `lowres train --resume" in done.stdout, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert checkpoint.load(tmp_path)[0]["epoch"] == 1
