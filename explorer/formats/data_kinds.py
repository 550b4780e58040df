"""What kind of data file something is, by its content; its name is never asked."""

from pathlib import Path, PurePosixPath

from explorer.errors import DataError, reason_of
from explorer.formats import npz
from explorer.formats.archive import Archive, is_zip
from explorer.formats.images import SUFFIXES, is_picture

NPZ, TABLE, IMAGES = "npz", "table", "images"
ACCEPTED = "give an .npz archive, a .csv table, or a zip of PNG or JPEG images"
HEAD_BYTES = 2**16
TAR_PLACE, TFLITE_PLACE = 257, 4
CONTROL = frozenset(range(32)) - set(b"\t\n\r\f\x1a") | {127}  # what no text has
_UNPACK = "unpack it first"
_AS_NPZ = "save its arrays with numpy.savez(path, x=samples, y=labels)"
_AS_CSV = "save it as CSV (UTF-8)"
_AS_DATA = f"it holds no samples; {ACCEPTED}"
_AS_ZIP = "convert the images to PNG or JPEG and zip them, one folder a class"
# Where a signature lies, what it is of, and what to do instead.
FOREIGN = (
    (0, b"\x1f\x8b", "a gzip file", _UNPACK),
    (0, b"BZh", "a bzip2 file", _UNPACK),
    (0, b"\xfd7zXZ\0", "an xz file", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and pack it as a zip"),
    (0, b"Rar!", "a RAR archive", "unpack it and pack it as a zip"),
    (TAR_PLACE, b"ustar", "a tar archive", "unpack it and pack it as a zip"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (as Keras and MATLAB write)", _AS_NPZ),
    (0, b"MATLAB 5.0", "a MATLAB file", _AS_NPZ),
    (0, b"\x93NUMPY", "a single .npy array", _AS_NPZ),
    (0, b"PAR1", "a Parquet file", _AS_CSV),
    (0, b"ARROW1", "an Arrow file", _AS_CSV),
    (0, b"FEA1", "a Feather file", _AS_CSV),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Office file", _AS_CSV),
    (0, b"SQLite format 3\0", "an SQLite database", _AS_CSV),
    (0, b"%PDF", "a PDF document", _AS_DATA),
    (0, b"version https://git-lfs", "a pointer of Git LFS", "choose the file that it stands for"),
    (0, b"{\\rtf", "an RTF document", _AS_DATA),
    (TFLITE_PLACE, b"TFL3", "a TFLite model", _AS_DATA),
    (0, b"GIF8", "a GIF image", _AS_ZIP),
    (0, b"II*\0", "a TIFF image", _AS_ZIP),
    (0, b"MM\0*", "a TIFF image", _AS_ZIP),
    (0, b"RIFF", "a WebP image or a sound", _AS_ZIP),
    (0, b"\0\0\x08\x03", "a file of the IDX format (as of MNIST)", _AS_NPZ),
    (0, b"\0\0\x08\x01", "a file of the IDX format (as of MNIST)", _AS_NPZ),
)
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
    for place, signature, what, instead in FOREIGN:
        if head.startswith(signature, place):
            raise DataError(f"{title} is {what}; {instead}.")
    if is_picture(head):
        raise DataError(f"{title} is a single image; zip the images, one folder a class.")
    if head.startswith(PICKLES):
        raise DataError(f"{title} is {_PICKLE}; {_AS_NPZ}.")
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 2**32:
        raise DataError(f"{title} is a safetensors file; {_AS_DATA}.")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"{", b"[")):
        raise DataError(f"{title} is a web page, XML or JSON; {_AS_CSV}.")
    is_wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))  # text, which the table reader refuses
    if not is_wide and CONTROL.intersection(head):
        raise DataError(f"{title} is of no known kind; {ACCEPTED}.")


def _kind_in_zip(archive: Archive) -> str:
    names = archive.names
    if any(name.endswith(npz.SUFFIX) for name in names):
        return NPZ
    for is_it, what, instead in (
        ("[Content_Types].xml" in names, "an Excel workbook or Office document", _AS_CSV),
        ("model.weights.h5" in names, "a Keras model", _AS_DATA),
        (
            any(_file(name) == "data.pkl" for name in names),
            f"a PyTorch file with {_PICKLE}",
            _AS_NPZ,
        ),
    ):
        if is_it:
            raise DataError(f"{archive.title} is {what}; {instead}.")
    if any(PurePosixPath(name).suffix.lower() in SUFFIXES for name in names):
        return IMAGES
    return _kind_by_heads(archive)


def _kind_by_heads(archive: Archive) -> str:
    """By the first bytes of the files in an archive whose names say nothing."""
    for name in archive.names:
        head = archive.head(name, 8)
        if is_picture(head):
            return IMAGES
        if head.startswith(npz.MAGIC):
            return NPZ
    if any(
        PurePosixPath(name).suffix.lower() in (".csv", ".tsv", ".txt") for name in archive.names
    ):
        raise DataError(f"{archive.title} holds text files only; give the .csv table itself.")
    raise DataError(f"{archive.title} holds neither arrays nor PNG or JPEG images; {ACCEPTED}.")


def _file(name: str) -> str:
    return PurePosixPath(name).name
