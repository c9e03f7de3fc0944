"""Archives: the files of a folder under the same addresses, with bytes that names and contents fix.

The law of damage: whatever bit of an archive is flipped, a reader gives the content that was
written, or raises a UserError.
"""

import multiprocessing
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import pytest

from recam.core.errors import UserError
from recam.io import packing, stores
from recam.io.archives import files_in, is_stored, located, read_content, require_one_form
from recam.io.atomic import read_manifest, require_listed, sha256
from recam.io.images import read_mask, read_saliency, write_mask, write_saliency
from recam.io.packing import write_archive
from recam.io.resumable import ResumableFolder
from recam.io.scores import ScoredClasses, load_classes, load_scores, save_scores

IDS = ("e", "b", "a", "d", "c")


@pytest.fixture(autouse=True)
def _few_in_an_archive(monkeypatch):
    monkeypatch.setattr(packing, "PER_ARCHIVE", 2)


@pytest.fixture
def place(tmp_path):
    """The folder of a run, whose files are of known steps."""
    (tmp_path / "results/seed0/cam").mkdir(parents=True)
    return tmp_path / "results/seed0/cam"


def scored(image_id: str) -> ScoredClasses:
    scores = np.full((1, 2, 3), (ord(image_id) - ord("a")) / 5, np.float32)
    return ScoredClasses(scores=scores, classes=np.array([ord(image_id) - ord("a")]))


def fill(folder: ResumableFolder, ids=IDS) -> None:
    for image_id in ids:
        if not folder.has(f"{image_id}.npz"):
            save_scores(folder.partial / f"{image_id}.npz", scored(image_id))


def made(place: Path, ids=IDS, *, in_archives: bool = True) -> Path:
    """A finished folder of cams with its list of checksums."""
    folder = ResumableFolder(place / "cams", key="k", in_archives=in_archives)
    fill(folder, ids)
    folder.finish_with_manifest(place / "cams.sha256")
    return folder.path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_maps_in_archives_have_the_addresses_and_bytes_of_maps_alone(tmp_path):
    alone, packed = made(tmp_path / "one", in_archives=False), made(tmp_path / "two")
    assert names(packed) == ["00000.zip", "00001.zip", "00002.zip"]
    listed = [file.name for file in files_in(packed, ".npz")]
    assert listed == [file.name for file in files_in(alone, ".npz")] == names(alone)
    for name in listed:
        assert read_content(packed / name) == (alone / name).read_bytes()
        np.testing.assert_array_equal(
            load_scores(packed / name).scores, load_scores(alone / name).scores
        )
        assert load_classes(packed / name) == load_classes(alone / name)
        assert is_stored(packed / name)
    assert not is_stored(packed / "f.npz")


def test_masks_and_saliency_in_archives_are_read_alike(tmp_path):
    folder = ResumableFolder(tmp_path / "masks", key="k", in_archives=True)
    mask = np.array([[0, 1], [2, 255]], np.uint8)
    write_mask(folder.partial / "a.png", mask)
    write_saliency(folder.partial / "b.png", mask)
    np.testing.assert_array_equal(read_mask(folder.partial / "a.png"), mask)  # not finished yet
    folder.finish()
    np.testing.assert_array_equal(read_mask(folder.path / "a.png"), mask)
    np.testing.assert_array_equal(read_saliency(folder.path / "b.png"), mask)


def test_an_archive_is_zip_without_compression_in_the_order_of_names(place):
    with ZipFile(made(place) / "00000.zip") as archive:
        infos = archive.infolist()
        assert [info.filename for info in infos] == ["a.npz", "b.npz"]
        assert {info.compress_type for info in infos} == {ZIP_STORED}
        assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.testzip() is None


def test_the_list_of_checksums_has_the_archives_alone(place):
    folder = made(place)
    expected = {f"cams/{path.name}": sha256(path) for path in folder.iterdir()}
    assert read_manifest(place / "cams.sha256") == expected
    require_listed(folder)
    (folder / "00001.zip").unlink()
    with pytest.raises(UserError, match=r"lacks 1 of the 3 files.*00001\.zip.*make_cams makes"):
        require_listed(folder)


def test_bytes_depend_on_neither_order_nor_process_nor_kill(tmp_path, monkeypatch):
    expected = contents(made(tmp_path / "one"))
    assert contents(made(tmp_path / "two", sorted(IDS))) == expected
    folder = ResumableFolder(tmp_path / "three/cams", key="k", in_archives=True)
    fill(folder, IDS[:2])
    monkeypatch.setattr(stores, "_OWN", {})  # the parts of another process
    fill(folder)
    assert len(list(folder.partial.glob("*.part"))) == 2
    folder.finish()
    assert contents(folder.path) == expected


def test_parts_of_shards_become_the_same_archives(tmp_path):
    expected = contents(made(tmp_path / "one"))
    whole = ResumableFolder(tmp_path / "two/cams", key="k", in_archives=True)
    fill(whole, IDS[4:])
    for number, of_shard in enumerate((IDS[:2], IDS[2:4])):
        shard = ResumableFolder(tmp_path / f"shards/{number}", key="k", in_archives=True)
        fill(shard, of_shard)
        for file in shard.partial.glob("[!.]*"):
            whole.take(file)
    alone = ResumableFolder(tmp_path / "shards/files", key="k")  # of the other storage
    save_scores(alone.partial / "z.npz", scored("a"))
    whole.take(alone.partial / "z.npz")
    assert all(whole.has(f"{image_id}.npz") for image_id in IDS)
    whole.finish()
    assert contents(whole.path) == expected


def test_a_kill_in_the_middle_of_a_file_costs_that_file(tmp_path, monkeypatch):
    expected = contents(made(tmp_path / "one"))
    fill(killed := ResumableFolder(tmp_path / "two/cams", key="k", in_archives=True), IDS[:3])
    (part,) = killed.partial.glob("*.part")
    part.write_bytes(part.read_bytes()[:-1])
    _forget_process(monkeypatch)
    again = ResumableFolder(tmp_path / "two/cams", key="k", in_archives=True)
    assert [again.has(f"{image_id}.npz") for image_id in IDS] == [True, True, *[False] * 3]
    fill(again)
    again.finish()
    assert contents(again.path) == expected
    assert names(tmp_path / "two") == ["cams"]


def test_a_kill_while_archives_are_written_costs_no_map(place):
    folder = ResumableFolder(place / "cams", key="k", in_archives=True)
    fill(folder)
    (place / ".cams.packed").mkdir()
    (place / ".cams.packed/00000.zip").write_bytes(b"half")
    again = ResumableFolder(place / "cams", key="k", in_archives=True)
    assert all(again.has(f"{image_id}.npz") for image_id in IDS)
    again.finish()
    assert names(place) == ["cams"]
    assert names(place / "cams") == ["00000.zip", "00001.zip", "00002.zip"]


def test_a_damaged_map_of_a_killed_run_is_made_anew(tmp_path, monkeypatch):
    fill(killed := ResumableFolder(tmp_path / "cams", key="k", in_archives=True), "abc")
    (part,) = killed.partial.glob("*.part")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1  # in the second of three maps of one size
    part.write_bytes(content)
    _forget_process(monkeypatch)
    again = ResumableFolder(tmp_path / "cams", key="k", in_archives=True)
    assert [again.has(f"{image_id}.npz") for image_id in "abc"] == [True, False, True]


@pytest.mark.parametrize("before", [False, True])
def test_a_change_of_storage_starts_an_unfinished_folder_anew(tmp_path, before):
    fill(ResumableFolder(tmp_path / "cams", key="k", in_archives=before))
    after = ResumableFolder(tmp_path / "cams", key="k", in_archives=not before)
    assert not any(after.has(f"{image_id}.npz") for image_id in IDS)


def test_a_damaged_map_is_named_with_its_archive_and_step(place):
    archive = made(place) / "00000.zip"
    content = bytearray(archive.read_bytes())
    with ZipFile(archive) as opened:
        start = opened.getinfo("b.npz").header_offset
    content[start + 60] ^= 1
    archive.write_bytes(content)
    words = "00000.zip/b.npz: damaged (its checksum differs); delete the folder "
    with pytest.raises(UserError, match=f"{re.escape(words)}.*cams and run again: make_cams makes"):
        load_scores(archive.parent / "b.npz")
    load_scores(archive.parent / "a.npz")


def test_any_flipped_bit_of_an_archive_is_noticed_or_without_effect(tmp_path):
    written = {name: name.encode() * 3 for name in ("a.npz", "b.npz")}
    for name, content in written.items():
        (tmp_path / name).write_bytes(content)
    archive = tmp_path / "made/00000.zip"
    write_archive(archive, [tmp_path / name for name in written])
    whole = archive.read_bytes()
    for position in range(len(whole)):
        folder = tmp_path / str(position)
        folder.mkdir()
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        (folder / "00000.zip").write_bytes(flipped)
        for name, content in written.items():
            try:
                found = read_content(folder / name)
            except UserError:
                continue
            assert found == content


def test_names_and_compression_of_other_programs_are_refused(tmp_path):
    for folder, name, compression in (
        ("a", "notes.txt", 0),
        ("b", "in/a.npz", 0),
        ("c", "a.npz", 8),
    ):
        (tmp_path / folder).mkdir()
        with ZipFile(tmp_path / folder / "00000.zip", "w", compression) as archive:
            archive.writestr(name, "text")
    words = r"00000\.zip: expected files named <id>.npz or <id>.png, got notes.txt"
    with pytest.raises(UserError, match=words):
        files_in(tmp_path / "a")
    with pytest.raises(UserError, match="got in/a"):
        read_content(tmp_path / "b/a.npz")
    with pytest.raises(UserError, match=r"without compression, got a.npz compressed.*zip -0"):
        read_content(tmp_path / "c/a.npz")
    assert ZIP_DEFLATED == 8


def test_a_file_in_two_archives_is_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"a")
    for number in (0, 1):
        write_archive(tmp_path / f"cams/0000{number}.zip", [tmp_path / "a.npz"])
    with pytest.raises(UserError, match=r"00001\.zip: expected each.*got a.npz also in 00000\.zip"):
        files_in(tmp_path / "cams")


def test_a_folder_with_both_forms_is_refused(place):
    folder = made(place)
    save_scores(folder / "z.npz", scored("a"))
    words = r"cams: expected its files alone or in archives, got both, such as z.npz and 00000.zip"
    for refusing in (files_in, require_one_form):
        with pytest.raises(UserError, match=words):
            refusing(folder)


def test_other_archives_beside_masks_are_left_alone(tmp_path):
    write_mask(tmp_path / "a.png", np.zeros((2, 2), np.uint8))
    (tmp_path / "photos.zip").write_bytes(b"")
    assert files_in(tmp_path, ".png") == [tmp_path / "a.png"]


def test_a_missing_map_is_named_as_a_map_alone(place):
    folder = made(place)
    assert located(folder / "z.npz") == folder / "z.npz"
    assert located(folder / "a.npz") == folder / "00000.zip/a.npz"
    with pytest.raises(
        UserError, match=r"z.npz: not found; delete the folder .*cams and run again"
    ):
        load_scores(folder / "z.npz")


def test_a_folder_without_maps_has_no_archive(tmp_path):
    assert names(made(tmp_path, ())) == []
    assert files_in(tmp_path / "cams") == []


def test_a_replaced_archive_is_listed_anew(tmp_path):
    folder = made(tmp_path, "ab")
    assert [file.stem for file in files_in(folder)] == ["a", "b"]
    made(tmp_path, "ac")
    assert [file.stem for file in files_in(folder)] == ["a", "c"]
    assert load_classes(folder / "c.npz").tolist() == [2]


def test_threads_and_processes_read_side_by_side(place):
    files = files_in(made(place), ".npz") * 8
    expected = [read_content(file) for file in files]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(read_content, files)) == expected
    with multiprocessing.get_context("spawn").Pool(1) as processes:
        assert processes.map(read_content, files) == expected


def _forget_process(monkeypatch) -> None:
    """Act as a new process: without a part, and without the list of the parts."""
    monkeypatch.setattr(stores, "_OWN", {})
    monkeypatch.setattr("recam.io.archives._PARTS", {})
