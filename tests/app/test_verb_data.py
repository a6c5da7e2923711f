import dataclasses
import functools
import hashlib
import http.server
import shutil
import tarfile
import threading
from pathlib import Path

import pytest
from PIL import Image

from lowres.data import download, load
from lowres.data.download import Archive


class TestVerify:
    def test_whole_data_are_said_to_be_whole(self, lowres):
        done = lowres("data", "verify", "digits")
        assert (done.code, done.err) == (0, "")
        assert done.out.splitlines()[-1] == "digits is whole"
        values = lowres("data", "verify", "digits", "--json").json
        assert (values["ok"], values["warnings"]) == (True, [])
        assert f"{values['content']}  pixels and labels" in done.out
        assert all(f"{sum_}  {file}" in done.out for file, sum_ in values["files"].items())

    def test_bytes_that_differ_are_a_failed_check(self, lowres, cifar, binary_archive):
        for words in ((), ("--json",)):
            done = lowres("data", "verify", "cifar10", "--data-dir", binary_archive.parent, *words)
            assert (done.code, done.err) == (1, "")
        assert done.json["ok"] is False
        assert "bytes differ from the official release" in done.json["warnings"][0]
        shown = lowres("data", "verify", "cifar10", "--data-dir", binary_archive.parent).out
        assert f"warning: {done.json['warnings'][0]}" in shown
        assert "is whole" not in shown

    def test_the_folder_may_be_named_by_the_environment(self, lowres, cifar, monkeypatch):
        shutil.move(cifar.root, "elsewhere")
        monkeypatch.setenv("LOWRES_DATA_DIR", "elsewhere")
        assert lowres("data", "verify", "cifar10").code == 0

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("verify",), "STR"),
            (("verify", "cifar11"), "unknown data set 'cifar11': did you mean 'cifar10'?"),
            (("verify", "cifar100"), "no cifar100 in data"),
            (("verify", "cifar10", "--data-dir", "nowhere"), "no cifar10 in nowhere (which does not exist)"),
            (("verify", "folder:nowhere"), "nowhere is not a folder"),
            (("verify", "cifar10", "--data-dri", "data"), "did you mean '--data-dir'?"),
            (("verifi", "cifar10"), "unknown data command 'verifi': did you mean 'verify'?"),
            (("info", "digits", "--recipe", "resnet-20"), "unknown recipe 'resnet-20': did you mean 'resnet20'?"),
            (("info", "digits", "--sheet", "file/sheet.png"), "cannot write file/sheet.png"),
            (("fetch", "digits"), "digits needs no download"),
            (("fetch", "folder:x"), "folder:x needs no download"),
            (("fetch", "cifar11"), "did you mean 'cifar10'?"),
            (("fetch", "cifar10", "--mirror", "ftp://x/y"), "mirror 'ftp://x/y' is not an http or https address"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_bad_input(self, refused, cifar, words, says):
        Path("file").write_text("", encoding="utf-8")
        assert says in refused("data", *words)

    def test_damage_is_bad_input(self, refused, cifar):
        cifar.file("test_batch").write_bytes(b"")
        assert "test_batch.bin: 0 bytes found" in refused("data", "verify", "cifar10")

    def test_without_a_command_the_commands_are_shown(self, lowres):
        done = lowres("data")
        assert (done.code, done.err) == (0, "")
        assert all(word in done.out for word in ("fetch", "verify", "info"))


class TestInfo:
    def test_counts_and_statistics(self, lowres, cifar):
        done = lowres("data", "info", "cifar10")
        assert (done.code, done.err) == (0, "")
        assert "10 classes, images 3x32x32" in done.out
        rows = [line.split() for line in done.out.splitlines()]
        assert ["frog", "5", "2"] in rows
        assert ["sum", "50", "20"] in rows
        values = lowres("data", "info", "cifar10", "--json").json
        assert values["train_counts"] == [5] * 10
        assert values["classes"][6] == "frog"
        # Every file holds the same ten records.
        assert (values["train_duplicates"], values["duplicates"], values["conflicts"]) == (40, 0, 0)
        assert "exact duplicates: 40 within the training images, 0 of the test images" in done.out
        assert ", ".join(f"{m:.4f}" for m in values["mean"]) in done.out

    @pytest.mark.parametrize("recipe", ["resnet20", "semxresnet20", "digits"])
    def test_a_contact_sheet_is_written(self, lowres, cifar, recipe):
        sheet = Path("a folder with a rather long name, as people have them, for sheets/[b]/sheet.png")
        done = lowres("data", "info", "cifar10", "--sheet", sheet, "--recipe", recipe)
        assert (done.code, done.err) == (0, "")
        assert f"contact sheet: {sheet}" in done.out.splitlines()
        with Image.open(sheet) as image:
            assert image.format == "PNG"
            assert image.width > 12 * 32
            assert image.height > 4 * 32

    def test_a_folder_of_images(self, lowres, tree):
        (tree / "train" / "cat").rename(tree / "train" / "[red]cat")
        (tree / "test" / "cat").rename(tree / "test" / "[red]cat")
        done = lowres("data", "info", f"folder:{tree}", "--sheet", "sheet.png")
        assert (done.code, done.err) == (0, "")
        assert ["[red]cat", "4", "2"] in [line.split() for line in done.out.splitlines()]

    def test_warnings_are_shown(self, lowres, tree):
        shutil.rmtree(tree / "test")
        out = " ".join(lowres("data", "info", f"folder:{tree}").out.split())
        assert "warning: tree: no test folder, so 2 of 8 images are held out" in out


@pytest.fixture
def binary_archive(cifar, tmp_path) -> Path:
    """The small CIFAR as the archive that is fetched, in a folder of its own."""
    path = tmp_path / "served" / cifar.spec.pickle_archive
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as archive:
        archive.add(cifar.file("x").parent, cifar.spec.binary_folder)
    return path


@pytest.fixture
def mirror(binary_archive, monkeypatch):
    """The address of a server that has the archive; nothing else can be reached."""
    monkeypatch.setenv("no_proxy", "*")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=binary_archive.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        content = binary_archive.read_bytes()
        md5 = hashlib.md5(content).hexdigest()
        known = Archive(binary_archive.name, md5, len(content), (f"{address}/gone.tar.gz",))
        monkeypatch.setitem(download.ARCHIVES, "cifar10", known)
        checksums = {**load.SPECS["cifar10"].md5, "cifar-10-binary.tar.gz": md5}
        monkeypatch.setitem(load.SPECS, "cifar10", dataclasses.replace(load.SPECS["cifar10"], md5=checksums))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"{address}/{binary_archive.name}"
        server.shutdown()
        thread.join()


class TestFetch:
    def test_an_archive_is_fetched_verified_and_ready_to_use(self, lowres, mirror, binary_archive):
        done = lowres("data", "fetch", "cifar10", "--data-dir", "fetched", "--mirror", mirror)
        path = Path("fetched", binary_archive.name)
        assert done == (0, f"{path}\n", "")
        assert path.read_bytes() == binary_archive.read_bytes()
        assert list(path.parent.iterdir()) == [path]
        verified = lowres("data", "verify", "cifar10", "--data-dir", "fetched")
        assert (verified.code, verified.out.splitlines()[-1]) == (0, "cifar10 is whole")

    def test_the_home_folder_is_understood(self, lowres, mirror, monkeypatch, tmp_path):
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
        assert lowres("data", "fetch", "cifar10", "--data-dir=~/data", "--mirror", mirror).code == 0
        assert lowres("data", "verify", "cifar10", "--data-dir=~/data").code == 0
        assert not Path("~").exists()

    def test_without_a_mirror_that_has_it_the_reasons_are_given(self, refused, mirror):
        message = refused("data", "fetch", "cifar10", "--data-dir", "fetched")
        assert message.startswith("no mirror delivered cifar-10-python.tar.gz (http://127.0.0.1")
        assert "HTTP 404" in message
        assert "--mirror" in message
        assert list(Path("fetched").iterdir()) == []

    def test_another_file_in_its_place_is_not_taken(self, refused, mirror, binary_archive):
        content = binary_archive.read_bytes()
        binary_archive.write_bytes(content[:-1] + b"x")
        assert "wrong checksum" in refused("data", "fetch", "cifar10", "--data-dir", "fetched", "--mirror", mirror)
        assert list(Path("fetched").iterdir()) == []

    def test_a_file_in_the_place_of_the_folder(self, refused, mirror):
        Path("fetched").write_text("", encoding="utf-8")
        assert "fetched" in refused("data", "fetch", "cifar10", "--data-dir", "fetched", "--mirror", mirror)
