"""What Streamlit holds in memory of dropped files, taken over and let go."""

from collections.abc import Iterable

from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import DeletedFile, UploadedFile


def take(files: Iterable[UploadedFile | DeletedFile]) -> list[tuple[str, bytes]]:
    """Name and content of each file, which Streamlit then no longer keeps."""
    context = get_script_run_ctx()
    taken = []
    for file in files:
        if isinstance(file, DeletedFile):  # another run has taken it
            continue
        taken.append((file.name, file.getvalue()))
        if runtime.exists() and context is not None:
            held = runtime.get_instance().uploaded_file_mgr
            held.remove_file(context.session_id, file.file_id)  # type: ignore[attr-defined]
    return taken
