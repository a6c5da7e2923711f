import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lowres.data.download import ARCHIVES, Archive, fetch, fetch_archive
from lowres.errors import UserError

CONTENT = hashlib.shake_256(b"lowres").digest(400_000)


class Mirror(BaseHTTPRequestHandler):
    """Serves CONTENT in the way that the first part of the path names."""

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        kind = self.path.split("/")[1]
        wanted = self.headers.get("Range")
        self.server.requests.append((kind, wanted))
        body, start, status = CONTENT, 0, 200
        if kind in ("missing", "gone"):
            self.send_error(404)
            return
        if kind == "corrupt":
            body = b"0" * len(CONTENT)
        if kind == "other":
            body = b"<html>sorry</html>"
        if wanted and kind == "refuses":
            self.send_error(416)
            return
        if wanted and kind not in ("ignores", "cuts-ignores", "other"):
            start, status = int(wanted.removeprefix("bytes=").removesuffix("-")), 206
        self.send_response(status)
        total = len(body) + (kind == "grown")
        if status == 206:
            shown = 0 if kind == "misplaced" else start
            self.send_header("Content-Range", f"bytes {shown}-{total - 1}/{total}")
        if kind != "unsized":
            self.send_header("Content-Length", str(total - start))
        self.end_headers()
        rest = body[start:]
        try:
            if kind in ("cuts", "cuts-ignores"):
                self.wfile.write(rest[:150_000])
            elif kind == "stalls":
                self.wfile.write(rest[:1000])
                time.sleep(1.0)
            elif kind == "slow":
                for i in range(0, len(rest), 10_000):
                    self.wfile.write(rest[i : i + 10_000])
                    time.sleep(0.02)
            else:
                self.wfile.write(rest)
        except ConnectionError:
            pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        server.requests = []
        server.handle_error = lambda *_: None
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def get(server, tmp_path):
    """Fetches from mirrors of these kinds; the file must be whole afterwards, or absent after an error."""

    def get(*kinds, **options):
        urls = tuple(f"http://127.0.0.1:{server.server_port}/{kind}/x.tar.gz" for kind in kinds)
        archive = Archive("x.tar.gz", hashlib.md5(CONTENT).hexdigest(), len(CONTENT), urls)
        options = {"timeout": 0.3, "minimum_rate": 0.0} | options
        try:
            path = fetch_archive(archive, tmp_path / "data", **options)
        except UserError:
            assert not (tmp_path / "data" / "x.tar.gz").exists()
            raise
        assert path == tmp_path / "data" / "x.tar.gz"
        assert path.read_bytes() == CONTENT
        assert list(path.parent.iterdir()) == [path]
        return [kind for kind, _ in server.requests]

    return get


def part(tmp_path, content):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.tar.gz.part").write_bytes(content)


def test_a_good_mirror_is_enough_and_asked_once(get, server):
    seen = []
    assert get("good", "missing", progress=lambda have, size: seen.append((have, size))) == ["good"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    assert get("good") == ["good"]  # what is there is not fetched again
    assert server.requests == [("good", None)]


def test_a_file_of_that_name_with_another_content_is_replaced(get, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.tar.gz").write_bytes(CONTENT[:1000])
    assert get("good") == ["good"]


@pytest.mark.parametrize("kind", ["missing", "corrupt", "other"])
def test_a_mirror_that_does_not_do_is_passed_over(get, kind):
    assert get(kind, "good") == [kind, "good"]


def test_a_cut_connection_is_resumed(get, server):
    assert get("cuts") == ["cuts"] * 3
    assert [wanted for _, wanted in server.requests] == [None, "bytes=150000-", "bytes=300000-"]


def test_a_body_without_a_length_is_read(get):
    assert get("unsized") == ["unsized"]


def test_an_earlier_attempt_is_continued(get, server, tmp_path):
    part(tmp_path, CONTENT[:123_456])
    get("good")
    assert server.requests == [("good", "bytes=123456-")]


def test_a_finished_part_needs_no_mirror(get, server, tmp_path):
    part(tmp_path, CONTENT)
    assert get("missing") == []


@pytest.mark.parametrize("length", [123_456, len(CONTENT), len(CONTENT) + 5])
def test_a_part_of_another_file_is_dropped(get, tmp_path, length):
    part(tmp_path, b"?" * length)
    assert get("good")[-1] == "good"


def test_a_server_that_ignores_ranges_starts_over(get, tmp_path):
    part(tmp_path, CONTENT[:123_456])
    assert get("ignores") == ["ignores"]


def test_a_server_that_ignores_ranges_and_always_cuts_is_given_up(get):
    assert get("cuts-ignores", "good") == ["cuts-ignores", "cuts-ignores", "good"]


@pytest.mark.parametrize("kind", ["refuses", "misplaced", "grown"])
def test_a_server_that_cannot_continue_is_passed_over(get, tmp_path, kind):
    part(tmp_path, CONTENT[:123_456])
    assert get(kind, "good") == [kind, "good"]


def test_a_silent_mirror_is_passed_over_and_its_part_kept(get, server):
    # 1,000 of 400,000 bytes an attempt would be progress for ever; the rate says otherwise.
    assert get("stalls", "good", patience=0.2, minimum_rate=1e6) == ["stalls", "good"]
    assert server.requests[-1] == ("good", "bytes=1000-")


def test_a_slow_mirror_is_left_for_a_fast_one(get):
    assert get("slow", "good", patience=0.05, minimum_rate=1e9) == ["slow", "good"]


def test_a_slow_mirror_is_returned_to_when_no_other_works(get):
    assert get("slow", "missing", patience=0.05, minimum_rate=1e9) == ["slow", "missing", "slow"]


def test_mirrors_of_the_user_come_first(get, server):
    mine = f"http://127.0.0.1:{server.server_port}/mine/x.tar.gz"
    assert get("good", mirrors=[mine]) == ["mine"]


def test_when_all_fail_each_has_its_reason_in_one_line(get, tmp_path, server):
    closed = "http://127.0.0.1:1/x.tar.gz"
    with pytest.raises(UserError) as error:
        get("missing", "corrupt", "other", mirrors=[closed])
    message = str(error.value)
    assert "\n" not in message
    for reason in ("/missing/x.tar.gz: HTTP 404", "/corrupt/x.tar.gz: wrong checksum", "has another file, of 18 bytes"):
        assert reason in message
    assert f"{closed}: " in message
    assert "try later, or name one" in message


def test_an_address_that_is_not_http_is_refused(tmp_path):
    with pytest.raises(UserError, match="'file:///etc/passwd' is not an http or https address"):
        fetch("cifar10", tmp_path, mirrors=["file:///etc/passwd"])


def test_a_place_that_cannot_be_written_is_named(get, tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(UserError, match="data: cannot be written"):
        get("good")


def test_names_that_are_not_fetched(tmp_path):
    with pytest.raises(UserError, match="did you mean 'cifar10'"):
        fetch("cifar-10", tmp_path)
    with pytest.raises(UserError, match="digits needs no download"):
        fetch("digits", tmp_path)


def test_the_official_host_comes_first():
    for archive in ARCHIVES.values():
        assert archive.urls[0] == f"https://www.cs.toronto.edu/~kriz/{archive.file}"
        assert all(url.startswith("https://") and url.endswith(archive.file) for url in archive.urls)


def test_two_at_once_get_one_file(get, server):
    """The second waits for the first, and asks no mirror."""
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(get, "slow") for _ in range(2)]
        assert [one.result()[0] for one in both] == ["slow", "slow"]
    assert len(server.requests) == 1
