"""The errors that a person is meant to read.

ExplorerError
├── ModelError           the file is not a model that the explorer can open
├── DataError            the samples don't fit the model
├── RecipeError          the recipe asks for something that doesn't exist
├── CompressionError     the graph can't be compressed as the plan says
├── MeasurementError     the runtime can't run the model
├── OutputError          the result can't be written
├── QuotaError           a visitor has uploaded as much as one may
└── JobError             the process that does the work has failed

Each message is one sentence that names what is wrong and what would be right. The shells (pages
and command line) catch this tree and nothing else.
"""

FILES_GONE = "The files of this session are gone; reload the page."
NO_MEMORY = "There isn't enough memory for this model on this machine."


def reason_of(error: Exception) -> str:
    """What the system says about a file that it won't open or write, as part of a sentence."""
    return (getattr(error, "strerror", None) or "the system refused").lower()


class ExplorerError(Exception):
    """Root of every user-facing error."""


class ModelError(ExplorerError):
    """The bytes are not a model that the explorer can open."""


class DataError(ExplorerError):
    """The samples or labels don't fit the model."""


class RecipeError(ExplorerError):
    """The recipe names a layer, a value or a combination that doesn't exist."""


class CompressionError(ExplorerError):
    """The graph can't be compressed as the plan says."""


class MeasurementError(ExplorerError):
    """The runtime can't run the model."""


class OutputError(ExplorerError):
    """The result can't be written."""


class QuotaError(ExplorerError):
    """A visitor has uploaded as much as one may."""


class JobError(ExplorerError):
    """The process that does the work has failed."""
