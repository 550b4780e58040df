"""Zip archives: what is read is what was packed, and no trick gets more out than was promised."""

import io
import struct
import zipfile
from pathlib import Path

import pytest

from explorer.errors import DataError
from explorer.formats import archive
from explorer.formats.archive import Archive


def packed(folder: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def patched(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


def opened(path: Path) -> Archive:
    return Archive(path, "The archive", DataError)


def test_members_come_out_as_they_went_in(tmp_path: Path) -> None:
    members = {"a/one.bin": bytes(range(256)) * 9000, "two.txt": b"two", "empty": b""}
    found = opened(packed(tmp_path, members))
    assert found.names == tuple(members)
    assert {name: found.read(name) for name in found.names} == members
    assert found.size("two.txt") == 3


def test_what_file_managers_leave_is_not_there(tmp_path: Path) -> None:
    members = {"__MACOSX/a/._x.png": b"", "a/.DS_Store": b"", "a/": b"", "a/x.png": b"x"}
    assert opened(packed(tmp_path, members)).names == ("a/x.png",)


def test_bytes_and_files_open_too(tmp_path: Path) -> None:
    path = packed(tmp_path, {"a": b"some content"})
    with path.open("rb") as stream:
        for source in (path, path.read_bytes(), stream):
            assert Archive(source, "The archive", DataError).read("a") == b"some content"


def test_the_first_bytes_of_a_member(tmp_path: Path) -> None:
    found = opened(packed(tmp_path, {"a": b"some content", "b": b""}))
    assert (found.head("a", 4), found.head("a", 99), found.head("b", 4)) == (
        b"some",
        b"some content",
        b"",
    )


def test_the_first_bytes_of_a_damaged_member(tmp_path: Path) -> None:
    path = packed(tmp_path, {"folder/a": b"some content" * 9})
    content = bytearray(path.read_bytes())
    content[30 + len("folder/a")] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged: 'a' can't be unpacked"):
        opened(path).head("folder/a", 50)


def test_a_member_without_a_name(tmp_path: Path) -> None:
    path = packed(tmp_path, {"a": b"1", "b": b"2"})
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02")
    content[place + 46] = 0  # names end at the first zero
    path.write_bytes(content)
    assert opened(path).names == ("a",)


@pytest.mark.parametrize("name", ["x:0.npy", "input:0", "a/C:", "...", "a..b", ".\\"])
def test_odd_names_that_stay_inside(tmp_path: Path, name: str) -> None:
    assert opened(packed(tmp_path, {name: b"x"})).names == (name,)


def test_names_are_cleaned_before_they_are_shown(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        opened(packed(tmp_path, {f"../{'w' * 99}\u202e\n": b"x"}))
    assert f"holds '{'w' * 47}…' under a path" in str(caught.value)


def test_offsets_beyond_any_file(tmp_path: Path) -> None:
    path = packed(tmp_path, {"a": b"1" * 500})
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    extra = struct.pack("<HHQ", 1, 8, 2**64 - 1)  # a place for zip64, as far away as can be said
    content[second + 42 : second + 46] = b"\xff" * 4
    content[second + 30 : second + 32] = struct.pack("<H", len(extra))
    content[second + 47 : second + 47] = extra
    end = content.rindex(b"PK\x05\x06")
    size = struct.unpack("<I", content[end + 12 : end + 16])[0]
    content[end + 12 : end + 16] = struct.pack("<I", size + len(extra))
    with pytest.raises(DataError, match="damaged"):
        Archive(bytes(content), "The archive", DataError).read("a")


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *((name, "an absolute path") for name in ("/etc/passwd", "C:/x", "c:")),
        *((name, "a path with '..'") for name in ("../up", "a/../../up", "..\\up", ".\\..\\up")),
    ],
)
def test_names_that_lead_out(tmp_path: Path, name: str, how: str) -> None:
    with pytest.raises(DataError, match=f"' under {how}, which leads out of the archive"):
        opened(packed(tmp_path, {name: b"x"}))


def test_links(tmp_path: Path) -> None:
    path, link = tmp_path / "a.zip", zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="holds 'link' as a link, which leads out of the archive"):
        opened(path)


def test_two_of_one_name(tmp_path: Path) -> None:
    path = packed(tmp_path, {"a.bin": b"1", "b.bin": b"2"})
    with pytest.raises(DataError, match="more than once"):
        opened(patched(path, b"b.bin", b"a.bin"))


def test_encrypted(tmp_path: Path) -> None:
    path = packed(tmp_path, {"a.bin": b"1"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="without a password"):
        opened(path)


def test_other_methods(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ordinary zip"):
        opened(packed(tmp_path, {"a": b"1" * 100}, zipfile.ZIP_LZMA))


def test_a_bomb(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="-fold when unpacked"):
        opened(packed(tmp_path, {"a": bytes(archive.HARMLESS_BYTES + 1)}))


def test_a_small_file_may_pack_very_well(tmp_path: Path) -> None:
    assert len(opened(packed(tmp_path, {"a": bytes(2**22)})).read("a")) == 2**22


def test_more_files_than_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_MEMBERS", 2)
    with pytest.raises(DataError, match="holds 3 files; the most is 2"):
        opened(packed(tmp_path, dict.fromkeys("abc", b"")))


@pytest.mark.parametrize("declared", [10, 10**6])
def test_a_member_of_another_length_than_declared(tmp_path: Path, declared: int) -> None:
    path = packed(tmp_path, {"a": b"x" * 5000})
    found = opened(patched(path, struct.pack("<I", 5000), struct.pack("<I", declared)))
    with pytest.raises(DataError, match="damaged"):
        found.read("a")


def test_flipped_bytes_are_noticed(tmp_path: Path) -> None:
    path = packed(tmp_path, {"a": b"some content"}, zipfile.ZIP_STORED)
    with pytest.raises(DataError, match="damaged: 'a' can't be unpacked"):
        opened(patched(path, b"content", b"contend")).read("a")


def test_members_that_share_their_bytes(tmp_path: Path) -> None:
    path = packed(tmp_path, {"a": b"1" * 5000, "b": b"2" * 5000}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    content[second + 42 : second + 46] = struct.pack("<I", 100)
    path.write_bytes(content)
    with pytest.raises(DataError, match="overlap"):
        opened(path)


@pytest.mark.parametrize("size", [10, 60, 90])
def test_cut_short(tmp_path: Path, size: int) -> None:
    path = packed(tmp_path, {"a": b"some content"})
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match="cut short"):
        opened(path)


def test_what_is_a_zip_archive() -> None:
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    assert archive.is_zip(empty.getvalue())
    assert archive.is_zip(b"PK\x03\x04rest")
    assert not archive.is_zip(b"PKnothing")
