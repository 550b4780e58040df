"""What kind of data file something is, by its content; its name is never asked."""

from pathlib import Path, PurePosixPath

from explorer.errors import DataError, reason_of
from explorer.formats.archive import Archive, is_zip
from explorer.formats.images import SUFFIXES, is_picture
from explorer.formats.npz import SUFFIX
from explorer.formats.signatures import NUMPY, Holds, foreign, foreign_zip, is_safetensors

NPZ, TABLE, IMAGES = "npz", "table", "images"
ACCEPTED = "give an .npz archive, a .csv table, or a zip of PNG or JPEG images"
HEAD_BYTES = 2**16
CONTROL = frozenset(range(32)) - set(b"\t\n\r\f\x1a") | {127}  # what no text has
_AS_NPZ = "save its arrays with numpy.savez(path, x=samples, y=labels)"
_AS_CSV = "save it as CSV (UTF-8)"
_AS_DATA = f"it holds no samples; {ACCEPTED}"
INSTEAD = {
    Holds.FILES: f"unpack it and {ACCEPTED}",
    Holds.NETWORK: _AS_DATA,
    Holds.ARRAYS: _AS_NPZ,
    Holds.TABLE: _AS_CSV,
    Holds.IMAGE: "zip the images as PNG or JPEG, one folder a class",
    Holds.NEITHER: _AS_DATA,
}
PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
_PICKLE = "a pickle, which could run any code and is never opened"


def kind_of(path: Path, title: str) -> str:
    """`NPZ`, `TABLE` or `IMAGES`; `title` is what to call the file in a message.

    Raises:
        DataError: it is of another kind, which is named, with what to do instead.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        raise DataError(f"{title} can't be read: {reason_of(error)}.") from error
    if not head:
        raise DataError(f"{title} is empty.")
    if is_zip(head):
        return _kind_in_zip(Archive(path, title, DataError))
    _check_foreign(head, title)
    return TABLE


def _check_foreign(head: bytes, title: str) -> None:
    for is_it, what, instead in (
        (head.startswith(PICKLES), _PICKLE, _AS_NPZ),
        (is_safetensors(head), "a safetensors file", _AS_DATA),
    ):
        if is_it:
            raise DataError(f"{title} is {what}; {instead}.")
    if (found := foreign(head)) is not None:
        raise DataError(f"{title} is {found.what}; {INSTEAD[found.holds]}.")
    is_wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))  # text, which the table reader refuses
    if not is_wide and CONTROL.intersection(head):
        raise DataError(f"{title} is of an unknown kind; {ACCEPTED}.")


def _kind_in_zip(archive: Archive) -> str:
    names = archive.names
    if any(name.endswith(SUFFIX) for name in names):
        return NPZ
    if any(PurePosixPath(name).name == "data.pkl" for name in names):
        what = f"a PyTorch file with {_PICKLE}"
        raise DataError(f"{archive.title} is {what}; {_AS_NPZ}.")
    if (found := foreign_zip(names)) is not None:
        raise DataError(f"{archive.title} is {found.what}; {INSTEAD[found.holds]}.")
    if any(PurePosixPath(name).suffix.lower() in SUFFIXES for name in names):
        return IMAGES
    return _kind_by_heads(archive)


def _kind_by_heads(archive: Archive) -> str:
    """By the first bytes of the files in an archive whose names say nothing."""
    for name in archive.names:
        head = archive.head(name, 8)
        if is_picture(head):
            return IMAGES
        if head.startswith(NUMPY):
            return NPZ
    if any(
        PurePosixPath(name).suffix.lower() in (".csv", ".tsv", ".txt") for name in archive.names
    ):
        raise DataError(f"{archive.title} holds text files only; give the .csv table itself.")
    raise DataError(f"{archive.title} holds neither arrays nor PNG or JPEG images; {ACCEPTED}.")
