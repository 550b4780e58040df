"""Every bad file goes the way of an upload: a session, a pool, the tasks; and nothing is harmed."""

import os
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bad_files import CASES, FAMILIES
from bad_files.case import HARD_LINK, SYMBOLIC_LINK, Case, Places, Verdict
from bad_files.models import good
from conftest import ROOT, SAMPLES
from test_errors import is_listed
from visiting import Seen, Visit

from explorer.jobs import LocalPool, local
from explorer.jobs.terms import MEASURE, TERMS, WORK, Terms
from explorer.ui.storage import Storage

CANARY = "CANARY-5d41402abc4b2a76"
MOST_GROWTH = 50 * 2**20
SHORT_S = 8.0  # in place of the half minute that a loop may take
OF_A_LIBRARY = re.compile(
    rf"/tmp|{re.escape(str(ROOT))}|/root|/home|site-packages|Traceback|\x1b|onnxruntime::|torch/csrc|\w\.cc\b|\w\.h:\d"
    r"|\.py\b|\w{3,}Error\b|Exception|weights_only|0x[0-9a-f]{6}"
)
FAST = [case for case in CASES if not case.is_slow]
SLOW = [case for case in CASES if case.is_slow]
Made = dict[str, list[tuple[str, Path]]]
seen_in_time: dict[str, float] = {}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    base = tmp_path_factory.mktemp("harm")
    secret = base / "secret.bin"
    secret.write_text(CANARY * 8)
    return Places((base / "marker", ROOT / "explorer" / "marker", base / "visits" / "m"), secret)


@pytest.fixture(scope="module")
def made(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """All files on disk, so that making them takes no memory while it is watched."""
    base, found = tmp_path_factory.mktemp("made"), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, on what is odd here by intent
        for case in CASES:
            found[case.id] = []
            for index, (name, content) in enumerate(case.contents(places)):
                path = base / f"{case.id}-{index}"
                path.write_bytes(content)
                found[case.id].append((name, path))
    yield found
    shutil.rmtree(base)


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    pool = LocalPool({WORK: 2, MEASURE: 1})
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def storage(places: Places) -> Storage:
    return Storage(places.secret.parent / "visits")


@pytest.fixture
def visit(pool: LocalPool, storage: Storage, places: Places) -> Iterator[Visit]:
    visit = Visit(pool, storage)
    folder = visit.session.folder.path
    (folder / SYMBOLIC_LINK).symlink_to(places.secret)
    (folder / HARD_LINK).hardlink_to(places.secret)
    yield visit
    visit.end()


def memory() -> int:
    """Bytes of this process, which is the server's."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def memory_before(pool: LocalPool, made: Made) -> int:
    pool.start()
    return memory()


def verdict_of(seen: Seen) -> Verdict:
    if not seen.opened:
        return Verdict.REFUSED
    return Verdict.FAILS_LATER if seen.notice else Verdict.OPENS


def check(case: Case, visit: Visit, made: Made, places: Places) -> Seen:
    """Drop a case's files, and see that it is told as it should be and has done nothing."""
    seen = visit.drop([(name, path.read_bytes()) for name, path in made[case.id]], case.shape)
    said = seen.notice if seen.notice is not None else " ".join(seen.notes)
    assert (verdict_of(seen), bool(re.search(case.says, said))) == (case.verdict, True), said
    assert seen.notice is None or is_listed(seen.notice)
    for text in seen.shown:
        assert not OF_A_LIBRARY.search(text), text
        assert text.isprintable()
    assert not any(CANARY in text for text in (*seen.shown, *seen.parts))
    assert not [marker for marker in places.markers if marker.exists()]
    assert places.secret.read_text() == CANARY * 8
    kept = visit.session.folder.path.glob("upload-*.onnx")
    assert not any(CANARY.encode() in path.read_bytes() for path in kept)
    return seen


@pytest.mark.parametrize("case", FAST, ids=lambda case: case.id)
def test_a_bad_file_is_told_and_does_nothing(
    case: Case, visit: Visit, made: Made, places: Places, memory_before: int
) -> None:
    seen = check(case, visit, made, places)
    assert seen.notice is None or "This took longer than" not in seen.notice
    seen_in_time[case.id] = seen.seconds


@pytest.mark.parametrize("case", SLOW, ids=lambda case: case.id)
def test_what_never_ends_is_stopped(
    case: Case, visit: Visit, made: Made, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Terms(SHORT_S, needs_torch=True, is_fresh=True)
    monkeypatch.setattr(local, "TERMS", {**TERMS, "try_out": short})
    check(case, visit, made, places)


def test_limits_of_time_leave_no_one_waiting() -> None:
    assert all(TERMS[task].limit_s <= 25 for task in ("import_files", "try_out"))


def test_the_pool_lives_on(visit: Visit) -> None:
    seen = visit.drop([("good.onnx", good())])
    assert (seen.opened, seen.notice) == (True, None)
    with np.load(SAMPLES / "vowels_test.npz") as arrays:
        assert len(arrays["y"])
    vowels = (SAMPLES / "vowels_cnn.onnx").read_bytes()
    data = (SAMPLES / "vowels_test.npz").read_bytes()
    seen = visit.drop([("vowels.onnx", vowels), ("vowels.npz", data)])
    assert (seen.opened, seen.notice) == (True, None)


def test_the_server_has_not_grown(memory_before: int, capsys: pytest.CaptureFixture[str]) -> None:
    growth = memory() - memory_before
    times = np.array(list(seen_in_time.values()) or [0.0])
    with capsys.disabled():
        counts = ", ".join(f"{len(cases)} {name}" for name, cases in FAMILIES.items())
        print(f"\n{len(CASES)} bad files: {counts}")
        print(
            f"time to verdict: 95 % within {np.percentile(times, 95):.1f} s, all within "
            f"{times.max():.1f} s; the server grew by {growth / 2**20:.0f} MiB"
        )
        print(*(f"{name} {s:.1f} s" for name, s in sorted(
            seen_in_time.items(), key=lambda item: -item[1])[:8]), sep="; ")  # fmt: skip
    assert growth <= MOST_GROWTH


def test_every_case_has_its_own_name() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 150
