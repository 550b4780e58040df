"""Visitors' files: apart from each other, bounded, and gone when they should be."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from explorer.errors import JobError, OutputError, QuotaError
from explorer.workspace import folders
from explorer.workspace.folders import SWEPT, TRIED, Share, Storage, make_room


@pytest.fixture
def kept(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


def test_a_file_is_kept_once_under_no_name_of_its_own(kept: Storage) -> None:
    folder = kept.folder()
    [path] = folder.take(b"model")
    assert folder.take(b"model", b"model") == [path, path]
    assert path.read_bytes() == b"model"
    assert path.parent == folder.path == folder.domain.folder
    assert folder.path.stat().st_mode & 0o077 == 0


def test_visitors_have_folders_of_their_own(kept: Storage) -> None:
    one, other = kept.folder(), kept.folder()
    assert one.take(b"same") != other.take(b"same")
    assert one.domain != other.domain != kept.samples


def test_files_go_with_their_visitor(kept: Storage) -> None:
    folder = kept.folder()
    [path] = folder.take(b"model")
    folder.remove()
    assert not path.parent.exists()
    other = kept.folder()
    [path] = other.take(b"model")
    del other
    assert not path.parent.exists()


def test_number_of_files(kept: Storage) -> None:
    folder = kept.folder()
    paths = folder.take(*(bytes([index]) for index in range(folders.SESSION_FILES)))
    with pytest.raises(QuotaError, match="8 uploaded files and already holds 8; select"):
        folder.take(b"one more")
    folder.drop(paths[0])
    assert not paths[0].exists()
    folder.take(b"one more")


def test_too_many_files_at_once_are_told_as_such_and_none_stays(kept: Storage) -> None:
    folder = kept.folder()
    folder.take(b"first")
    nine = [bytes([index]) for index in range(folders.SESSION_FILES + 1)]
    with pytest.raises(QuotaError, match="You dropped 9 files, but a session can hold 8; drop"):
        folder.take(*nine)
    with pytest.raises(QuotaError, match="8 uploaded files and already holds 1;"):
        folder.take(*nine[:-1])
    assert len(list(folder.path.iterdir())) == 1
    folder.take(*nine[:-2])


def test_of_files_that_are_too_large_together_none_stays(
    kept: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "SESSION_BYTES", 10**6)
    folder = kept.folder()
    with pytest.raises(QuotaError, match="too large"):
        folder.take(b"small", bytes(10**6))
    assert list(folder.path.iterdir()) == []
    folder.take(bytes(10**6))


def test_bytes_of_a_visitor(kept: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "SESSION_BYTES", 3 * 10**6)
    folder = kept.folder()
    folder.take(bytes(10**6))
    with pytest.raises(QuotaError, match=r"2 MiB of the session's 3 MiB are left"):
        folder.take(bytes(2 * 10**6 + 1))
    folder.take(bytes(2 * 10**6))


def test_bytes_of_all(kept: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "ALL_BYTES", 10**6)
    folder = kept.folder()
    folder.take(bytes(9 * 10**5))
    with pytest.raises(QuotaError, match="no room"):
        kept.folder().take(bytes(2 * 10**5))


def test_a_folder_that_is_gone_is_told(kept: Storage) -> None:
    folder = kept.folder()
    folder.take(b"model")
    shutil.rmtree(folder.path)
    for content in (b"model", b"other"):
        with pytest.raises(JobError, match="The files of this session are gone; reload the page"):
            folder.take(content)


def test_a_file_that_cannot_be_written_is_told_and_not_kept(
    kept: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:1])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = kept.folder()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill_up)
        with pytest.raises(OutputError, match="can't keep this file: no space left on device"):
            folder.take(b"model")
    assert list(folder.path.iterdir()) == []
    [path] = folder.take(b"model")
    assert path.read_bytes() == b"model"


def test_what_a_dead_server_left_is_removed_and_a_living_ones_stays(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom explorer.workspace.folders import Storage\n"
        "kept = Storage(Path(sys.argv[1]))\nprint(kept.folder().take(b'model')[0], flush=True)\n"
        "os._exit(0)"
    )
    living = Storage(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ},
        capture_output=True,
        text=True,
        check=True,
    )
    left = Path(done.stdout.strip())
    assert living.path.exists()
    assert left.parent.parent.exists()
    Storage(tmp_path)
    assert not left.parent.parent.exists()
    assert living.path.exists()


def test_a_folder_that_could_not_be_removed_goes_with_the_next_visit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(tmp_path)
    folder = storage.folder()
    [path] = folder.take(b"model")
    with monkeypatch.context() as patched:  # as if a process had written at the same moment
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        folder.remove()
    assert path.exists()
    storage.folder()
    assert not folder.path.exists()
    assert storage.used_bytes == 0


def test_the_oldest_results_make_room(tmp_path: Path) -> None:
    paths = [tmp_path / f"compressed-{index}.onnx" for index in range(4)]
    for age, path in enumerate(reversed(paths)):
        path.write_bytes(b"model")
        os.utime(path, (10**9 - age, 10**9 - age))
    make_room(tmp_path, shown=paths[0], share=Share("compressed-", files=2, bytes=1000))
    assert [path.exists() for path in paths] == [True, False, True, True]
    (tmp_path / "compressed-gone.onnx").symlink_to("nowhere")  # found, and gone at a closer look
    make_room(tmp_path, shown=None, share=Share("compressed-", files=2, bytes=7))
    assert [path.exists() for path in paths] == [False, False, False, True]


def test_a_sweep_leaves_room_for_what_was_made_by_hand(tmp_path: Path) -> None:
    by_hand, swept = [
        [share.new_file(tmp_path) for _ in range(count)]
        for share, count in ((TRIED, 3), (SWEPT, SWEPT.files + 2))
    ]
    for age, path in enumerate([*swept, *by_hand]):
        path.write_bytes(b"model")
        os.utime(path, (10**9 - age, 10**9 - age))
    make_room(tmp_path, shown=None, share=SWEPT)
    assert [path.exists() for path in swept] == [True] * SWEPT.files + [False] * 2
    assert all(path.exists() for path in by_hand)
    make_room(tmp_path, shown=None, share=Share(TRIED.prefix, files=1, bytes=1000))
    assert [path for path in [*swept, *by_hand] if path.exists()] == swept[:1]
