"""Downloads over a connection that breaks or sends wrong data; unpacking of archives."""

import errno
import gzip
import hashlib
import io
import re
import tarfile
import threading
import zipfile
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from recam.core.errors import UserError
from recam.datasets.fetch import Archive, unpacked

FILES = {
    "photos/one.jpg": np.random.default_rng(1).bytes(3000),
    "photos/two.jpg": np.random.default_rng(2).bytes(2000),
    "readme.txt": b"two photographs\n",
}


def zipped(files, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)  # dated 1980
    return buffer.getvalue()


def tarred(files, links=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, kind, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    return buffer.getvalue()


CONTENT = zipped(FILES)
HALF = len(CONTENT) // 2


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def read(folder):
    """Every file below a folder and its content."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@dataclass
class Server:
    """A web server with one file and optional faults."""

    content: bytes = CONTENT
    ranges: bool = True  # answer a request for a part with that part
    breaks_after: list[int] = field(default_factory=list)  # bytes, of the first answers
    falls_silent: bool = False  # instead of breaking off
    over: threading.Event = field(default_factory=threading.Event)
    tells_length: bool = True
    status: int = 200
    location: str = ""
    asked: list[str | None] = field(default_factory=list)  # the Range of every request
    agents: list[str | None] = field(default_factory=list)
    port: int = 0

    def archive(self, name="photos.zip", content=None):
        return Archive(
            url=f"http://127.0.0.1:{self.port}/sets/{name}", md5=md5(content or self.content)
        )


class Handler(BaseHTTPRequestHandler):
    def __init__(self, server: Server, *args):
        self.says = server
        super().__init__(*args)

    def log_message(self, format, *args):
        """Say nothing."""

    def do_GET(self):
        says = self.says
        asked = self.headers["Range"]
        says.asked.append(asked)
        says.agents.append(self.headers["User-Agent"])
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and says.ranges else 0
        content = says.content[start:]
        status = says.status
        if status == 200 and start:
            status = 206 if content else 416
        self.send_response(status)
        if says.location:
            self.send_header("Location", says.location)
        if says.tells_length:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        breaks = bool(says.breaks_after)
        self.wfile.write(content[: says.breaks_after.pop(0)] if breaks else content)
        if breaks and says.falls_silent:
            says.over.wait()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    says = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, says)) as http:
        says.port = http.server_port
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield says
        says.over.set()
        http.shutdown()
        thread.join()


def fetched(server, folder, **changes):
    return unpacked(server.archive(**changes), given=None, folder=folder)


def test_the_name_is_the_last_part_of_the_address():
    archive = Archive(url="https://example.org/sets/photos.tar.gz?dl=1", md5="0")
    assert archive.name == "photos.tar.gz"


def test_a_whole_download_is_unpacked_and_the_archive_deleted(server, tmp_path):
    folder = fetched(server, tmp_path / "new/cache")
    assert folder == tmp_path / "new/cache/photos"
    assert read(tmp_path / "new/cache") == {f"photos/{name}": file for name, file in FILES.items()}
    assert server.asked == [None]


def test_the_project_names_itself_to_the_server(server, tmp_path):
    fetched(server, tmp_path)
    assert server.agents == ["recam"]


def test_a_download_of_unknown_length_is_taken(server, tmp_path):
    server.tells_length = False
    assert read(fetched(server, tmp_path)) == FILES


def test_several_megabytes_come_unchanged(server, tmp_path):
    files = {"noise": np.random.default_rng(3).bytes(2_500_000)}
    server.content = zipped(files, zipfile.ZIP_STORED)
    server.breaks_after = [1_200_000]
    assert read(fetched(server, tmp_path)) == files
    assert server.asked == [None, "bytes=1200000-"]


def test_a_server_that_falls_silent_is_asked_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr("recam.datasets.fetch.TIMEOUT", 1)
    files = {"noise": np.random.default_rng(3).bytes(2_500_000)}
    server.content = zipped(files, zipfile.ZIP_STORED)
    server.breaks_after, server.falls_silent = [1_200_000], True
    assert read(fetched(server, tmp_path)) == files
    assert server.asked == [None, "bytes=1000000-"]  # less than a megabyte is lost


def test_a_second_call_asks_nobody(server, tmp_path):
    first = fetched(server, tmp_path)
    assert fetched(server, tmp_path) == first
    assert len(server.asked) == 1


def test_a_checksum_may_be_written_in_capitals(server, tmp_path):
    archive = Archive(url=server.archive().url, md5=md5(CONTENT).upper())
    assert read(unpacked(archive, given=None, folder=tmp_path)) == FILES


def test_an_archive_without_a_checksum_is_taken(server, tmp_path):
    archive = Archive(url=server.archive().url, md5=None)
    assert read(unpacked(archive, given=None, folder=tmp_path)) == FILES


def test_an_archive_without_a_checksum_is_verified_by_unpacking(server, tmp_path):
    server.content = bytes(byte ^ (index == 60) for index, byte in enumerate(CONTENT))
    archive = Archive(url=server.archive().url, md5=None)
    with pytest.raises(UserError, match="expected an intact archive, got a damaged"):
        unpacked(archive, given=None, folder=tmp_path)


def test_a_broken_download_resumes_as_long_as_it_grows(server, tmp_path):
    server.breaks_after = [1000, 500, 1]
    assert read(fetched(server, tmp_path)) == FILES
    assert server.asked == [None, "bytes=1000-", "bytes=1500-", "bytes=1501-"]


def test_a_stalled_download_fails_and_keeps_its_part(server, tmp_path):
    server.breaks_after = [1000, 0]
    with pytest.raises(
        UserError, match=r"photos\.zip: cannot be downloaded \(closed \d+ bytes too"
    ):
        fetched(server, tmp_path)
    assert server.asked == [None, "bytes=1000-"]
    assert read(tmp_path) == {"photos.zip.part": CONTENT[:1000]}


def test_only_the_missing_part_is_requested(server, tmp_path):
    (tmp_path / "photos.zip.part").write_bytes(CONTENT[:HALF])
    assert read(fetched(server, tmp_path)) == FILES
    assert server.asked == [f"bytes={HALF}-"]


def test_an_empty_part_is_fetched_from_the_beginning(server, tmp_path):
    (tmp_path / "photos.zip.part").touch()
    assert read(fetched(server, tmp_path)) == FILES
    assert server.asked == [None]


def test_a_part_that_is_already_whole_is_taken(server, tmp_path):
    (tmp_path / "photos.zip.part").write_bytes(CONTENT)
    assert read(fetched(server, tmp_path)) == FILES
    assert server.asked == [f"bytes={len(CONTENT)}-"]


def test_a_server_that_knows_no_ranges_sends_all_of_it_again(server, tmp_path):
    server.ranges = False
    (tmp_path / "photos.zip.part").write_bytes(CONTENT[:HALF])
    assert read(fetched(server, tmp_path)) == FILES
    assert server.asked == [f"bytes={HALF}-"]


def test_a_server_that_knows_no_ranges_and_always_breaks_off_is_given_up(server, tmp_path):
    server.ranges = False
    server.breaks_after = [1000] * 10
    with pytest.raises(UserError, match="cannot be downloaded"):
        fetched(server, tmp_path)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "part",
    [b"x" * HALF, b"x" * len(CONTENT), CONTENT + b"x"],
    ids=["half", "whole", "longer"],
)
def test_a_part_of_another_file_is_downloaded_anew(server, tmp_path, part):
    (tmp_path / "photos.zip.part").write_bytes(part)
    assert read(fetched(server, tmp_path)) == FILES
    assert server.asked == [f"bytes={len(part)}-", None]


def test_a_file_of_another_checksum_is_refused_and_deleted(server, tmp_path):
    expected = md5(b"another")
    with pytest.raises(UserError, match=r"or download it by hand .* download\.source") as raised:
        fetched(server, tmp_path, content=b"another")
    for words in (server.archive().url, f"MD5 {expected}", f"got {md5(CONTENT)}"):
        assert words in str(raised.value)
    assert server.asked == [None]
    assert list(tmp_path.iterdir()) == []


def test_another_checksum_after_a_fresh_start_is_refused(server, tmp_path):
    (tmp_path / "photos.zip.part").write_bytes(CONTENT[:HALF])
    with pytest.raises(UserError, match=r"expected MD5 .* and deleted the file"):
        fetched(server, tmp_path, content=b"another")
    assert server.asked == [f"bytes={HALF}-", None]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "why"),
    [(404, "HTTP Error 404: Not Found"), (403, "HTTP Error 403"), (500, "HTTP Error 500"),
     (416, "HTTP Error 416")],
)  # fmt: skip
def test_an_http_error_is_reported(server, tmp_path, status, why):
    server.status = status
    with pytest.raises(
        UserError, match=rf"photos\.zip: cannot be downloaded \({why}.*download\.sou"
    ):
        fetched(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_endless_redirect_is_reported_in_one_line(server, tmp_path):
    server.status, server.location = 302, "/sets/photos.zip"
    with pytest.raises(
        UserError, match=r"cannot be downloaded \(HTTP Error 302.* infinite loop.*\); try"
    ):
        fetched(server, tmp_path)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:{port}/photos.zip", r"Connection refused\)"),
        (f"http://{'x' * 64}.invalid/photos.zip", "label"),
        ("http://127.0.0.1:port/photos.zip", "nonnumeric port"),
        ("/sets/photos.zip", "unknown url type"),
    ],
)
def test_an_unreachable_address_is_reported(monkeypatch, tmp_path, url, why):
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        free = http.server_port  # closed again when it is asked
    archive = Archive(url=url.format(port=free), md5="0")
    with pytest.raises(UserError, match=rf"photos\.zip: cannot be downloaded \([^<]*{why}"):
        unpacked(archive, given=None, folder=tmp_path)


def test_a_connection_without_tls_is_reported(server, tmp_path):
    archive = Archive(url=server.archive().url.replace("http:", "https:"), md5="0")
    with pytest.raises(UserError, match=r"cannot be downloaded \(.*SSL"):
        unpacked(archive, given=None, folder=tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_not_reported_as_a_network_error(server, tmp_path):
    (tmp_path / "photos.zip.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as raised:
        fetched(server, tmp_path)
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(tmp_path / "photos.zip.part")
    assert server.asked == [None]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_fills_while_unpacking_is_named_and_the_archive_kept(server, tmp_path):
    (tmp_path / ".photos.partial").mkdir()
    (tmp_path / ".photos.partial/readme.txt").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as raised:
        fetched(server, tmp_path)
    assert raised.value.filename == str(tmp_path / ".photos.partial")
    assert (tmp_path / "photos.zip").read_bytes() == CONTENT
    assert not (tmp_path / "photos").exists()


def test_a_given_archive_is_used_and_kept_without_a_request(server, tmp_path):
    (tmp_path / "given").mkdir()
    (tmp_path / "given/photos.zip").write_bytes(CONTENT)
    folder = unpacked(server.archive(), given=tmp_path / "given", folder=tmp_path / "cache")
    assert read(folder) == FILES
    assert read(tmp_path / "given") == {"photos.zip": CONTENT}
    assert server.asked == []


def test_an_archive_given_in_the_same_folder_is_kept(server, tmp_path):
    (tmp_path / "photos.zip").write_bytes(CONTENT)
    assert read(unpacked(server.archive(), given=tmp_path, folder=tmp_path)) == FILES
    assert (tmp_path / "photos.zip").read_bytes() == CONTENT


def test_a_given_archive_of_another_checksum_is_refused_and_untouched(server, tmp_path):
    (tmp_path / "given").mkdir()
    (tmp_path / "given/photos.zip").write_bytes(b"another")
    with pytest.raises(UserError, match=f"given/photos.zip: expected MD5 {md5(CONTENT)}, got"):
        unpacked(server.archive(), given=tmp_path / "given", folder=tmp_path / "cache")
    assert read(tmp_path) == {"given/photos.zip": b"another"}
    assert server.asked == []


@pytest.mark.parametrize("given", ["empty", "missing"])
def test_a_given_folder_without_the_archive_is_passed_over(server, tmp_path, given):
    (tmp_path / "empty").mkdir()
    folder = unpacked(server.archive(), given=tmp_path / given, folder=tmp_path / "cache")
    assert read(folder) == FILES
    assert server.asked == [None]


ARCHIVES = {
    "photos.tar": tarred(FILES),
    "photos.tgz": gzip.compress(tarred(FILES), mtime=0),
    "photos.tar.gz": gzip.compress(tarred(FILES), mtime=0),
    "photos.zip": CONTENT,
}


def give(folder, name, content):
    """An archive that lies ready, and a function to unpack it beside."""
    (folder / name).write_bytes(content)
    archive = Archive(url=f"http://name.invalid/{name}", md5=md5(content))
    return lambda: unpacked(archive, given=folder, folder=folder)


@pytest.mark.parametrize("name", ARCHIVES)
def test_every_kind_of_archive_is_unpacked(tmp_path, name):
    folder = give(tmp_path, name, ARCHIVES[name])()
    assert folder == tmp_path / "photos"
    assert read(folder) == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", name]


def test_only_the_ending_is_taken_off_a_name(tmp_path):
    assert give(tmp_path, "May-2012.v1.tar.gz", ARCHIVES["photos.tgz"])().name == "May-2012.v1"


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_unpacking_that_was_killed_goes_on(tmp_path, name):
    whole = tmp_path / ".photos.partial/photos/one.jpg"
    whole.parent.mkdir(parents=True)
    marked = b"not touched".ljust(3000)
    whole.write_bytes(marked)
    whole.with_name("two.jpg").write_bytes(FILES["photos/two.jpg"][:700])
    folder = give(tmp_path, name, ARCHIVES[name])()
    assert read(folder) == FILES | {"photos/one.jpg": marked}
    assert not (tmp_path / ".photos.partial").exists()


def test_an_unpacking_of_a_fetched_archive_goes_on_without_a_request(server, tmp_path):
    (tmp_path / "photos.zip").write_bytes(CONTENT)
    assert read(fetched(server, tmp_path)) == FILES
    assert server.asked == []
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_an_archive_of_another_checksum_in_the_cache_is_refused_and_untouched(server, tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"another")
    with pytest.raises(UserError, match=r"photos\.zip: expected MD5 .*; replace or remove it"):
        fetched(server, tmp_path)
    assert read(tmp_path) == {"photos.zip": b"another"}


def test_links_inside_the_folder_are_made_again_after_a_kill(tmp_path):
    links = [("soft", tarfile.SYMTYPE, "readme.txt"), ("hard", tarfile.LNKTYPE, "readme.txt")]
    content = tarred({"readme.txt": b"read"}, links=links)
    folder = give(tmp_path, "photos.tar", content)()
    folder.rename(tmp_path / ".photos.partial")
    assert read(give(tmp_path, "photos.tar", content)()) == dict.fromkeys(
        ("readme.txt", "soft", "hard"), b"read"
    )


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


BLOCKS = tarred(FILES)[:7168]  # all of the files and none of the end
DAMAGED = {
    "no tar": ("photos.tar", b"no archive"),
    "no tgz": ("photos.tgz", b"no archive"),
    "no zip": ("photos.zip", b"no archive"),
    "half a tar": ("photos.tar", ARCHIVES["photos.tar"][:2000]),
    "half a tgz": ("photos.tgz", ARCHIVES["photos.tgz"][:2000]),
    "half a zip": ("photos.zip", ARCHIVES["photos.zip"][:2000]),
    "tgz with a wrong checksum": ("photos.tgz", flipped(gzip.compress(BLOCKS, mtime=0), -5)),
    "tgz with a wrong stream": ("photos.tgz", flipped(ARCHIVES["photos.tgz"], 10)),
    "zip with a wrong checksum": ("photos.zip", flipped(CONTENT, 1000)),
    "zip with a wrong stream": ("photos.zip", flipped(zipped({"a": b"a" * 99}), 31)),
}


@pytest.mark.parametrize(("name", "content"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_archive_is_named_and_leaves_no_folder(tmp_path, name, content):
    with pytest.raises(
        UserError, match=rf"{name}: .* damaged or unsafe one \(.+\); replace or remove it"
    ):
        give(tmp_path, name, content)()
    assert read(tmp_path) == {name: content}
    assert [path.name for path in tmp_path.iterdir()] == [name]


ESCAPING = {
    "zip above": ("photos.zip", zipped({"a": b"a", "../escaped": b"b"})),
    "zip above from inside": ("photos.zip", zipped({"a": b"a", "b/../../escaped": b"b"})),
    "zip from the root": ("photos.zip", zipped({"a": b"a", "/escaped": b"b"})),
    "tar above": ("photos.tar", tarred({"a": b"a", "../escaped": b"b"})),
    "tar link": ("photos.tar", tarred({}, links=[("soft", tarfile.SYMTYPE, "../escaped")])),
    "tar hard link": ("photos.tar", tarred({}, links=[("hard", tarfile.LNKTYPE, "../escaped")])),
    "tar device": ("photos.tar", tarred({}, links=[("device", tarfile.CHRTYPE, "")])),
}


@pytest.mark.parametrize(("name", "content"), ESCAPING.values(), ids=ESCAPING)
def test_an_archive_that_would_leave_its_folder_is_refused(tmp_path, name, content):
    (tmp_path / "here").mkdir()
    with pytest.raises(
        UserError, match=rf"{name}: .* damaged or unsafe one \(.+\); replace or remove it"
    ):
        give(tmp_path / "here", name, content)()
    assert read(tmp_path) == {f"here/{name}": content}
