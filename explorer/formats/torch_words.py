"""Own sentences in place of torch's, which hold paths and ways to switch its protection off."""

from collections.abc import Iterator
from contextlib import contextmanager

from explorer.errors import ModelError
from explorer.formats.torch_module import quiet

OUT_OF_MEMORY = ("can't allocate memory", "bad_alloc", "not enough memory")


@contextmanager
def in_own_words(title: str, sentence: str) -> Iterator[None]:
    """Turn whatever a library raises on a stranger's file into one sentence, and keep it quiet.

    Raises:
        ModelError: `sentence`, or that there isn't enough memory for the file called `title`.
    """
    try:
        with quiet():
            yield
    except ModelError:
        raise
    except Exception as error:  # a file made to break a library can raise anything
        if isinstance(error, MemoryError) or any(part in str(error) for part in OUT_OF_MEMORY):
            sentence = f"{title} needs more memory than there is for it; choose a smaller network."
        raise ModelError(sentence) from error
