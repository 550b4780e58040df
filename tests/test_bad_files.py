"""Every bad file goes the way of an upload: a session, a pool, the tasks; and nothing is harmed."""

import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bad_files import CASES, FAMILIES
from bad_files.case import HARD_LINK, SYMBOLIC_LINK, Case, Places, Verdict
from bad_files.models import good
from conftest import ROOT, SAMPLES
from test_errors import is_listed
from values import known
from visiting import Seen, Visit

from explorer import Recipe
from explorer.jobs import Domain, Job, LocalPool, State, local
from explorer.jobs.terms import MEASURE, TERMS, WORK, Terms
from explorer.runs import Run
from explorer.workspace.folders import Storage

CANARY = "CANARY-5d41402abc4b2a76"
MOST_GROWTH = 50 * 2**20
SHORT_S = 8.0  # in place of the half minute that a loop may take
OF_A_LIBRARY = re.compile(
    rf"/tmp|{re.escape(str(ROOT))}|/root|/home|site-packages|Traceback|\x1b|onnxruntime::|torch/csrc|\w\.cc\b|\w\.h:\d"
    r"|\.py\b|\w{3,}Error\b|Exception|weights_only|0x[0-9a-f]{6}"
)
BESIDE_A_NEIGHBOUR = (  # one of each family, the ones that do most
    *("zip-bomb", "foreign-model.pkl", "onnx-100000-nodes", "onnx-range-terabytes"),
    *("csv-2-million-rows", "torch-os-system", "script-nested-too-deep"),
)
BESIDE = [case for case in CASES if case.id in BESIDE_A_NEIGHBOUR]
SLOW = [case for case in CASES if case.is_slow]
FAST = [case for case in CASES if case not in (*BESIDE, *SLOW)]
NEIGHBOUR_S = 60.0
NEVER_RUN = "onnx-code-as-a-name"  # by no program that is known
FEWEST_PAYLOADS = 12
LARGEST_PAYLOAD = 2**20
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
    base = tmp_path_factory.mktemp("made")
    found: Made = {}
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


def check_in_time(case: Case, visit: Visit, made: Made, places: Places) -> None:
    """The same, for a case that runs into no limit of time."""
    seen = check(case, visit, made, places)
    assert seen.notice is None or "This took longer than" not in seen.notice
    seen_in_time[case.id] = seen.seconds


@pytest.mark.parametrize("case", FAST, ids=lambda case: case.id)
def test_a_bad_file_is_told_and_does_nothing(
    case: Case, visit: Visit, made: Made, places: Places, memory_before: int
) -> None:
    check_in_time(case, visit, made, places)


@pytest.fixture(scope="module")
def right(pool: LocalPool, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """What the neighbour's job gives when nothing else runs."""
    job = neighbours_job(pool, tmp_path_factory.mktemp("alone"))
    assert job.wait(NEIGHBOUR_S)
    return job


def neighbours_job(pool: LocalPool, folder: Path) -> Job:
    """A setting of a sample model, asked for by a session that has nothing to do with bad files."""
    source = {
        "model": str(SAMPLES / "vowels_cnn.onnx"),
        "name": "vowels",
        "data": str(SAMPLES / "vowels_test.npz"),
    }
    recipe = Recipe(pattern="channel", ratio=0.1, compensate=False).to_json()
    arguments = {"source": source, "recipe": recipe, "out": str(folder / "small.onnx")}
    return pool.submit("neighbour", Domain("neighbour", folder), "compress", arguments)


@pytest.mark.parametrize("case", BESIDE, ids=lambda case: case.id)
def test_a_neighbour_of_a_bad_file_gets_the_right_result(
    case: Case,
    visit: Visit,
    made: Made,
    places: Places,
    pool: LocalPool,
    right: Job,
    memory_before: int,
    tmp_path: Path,
) -> None:
    job = neighbours_job(pool, tmp_path)
    check_in_time(case, visit, made, places)
    assert job.wait(NEIGHBOUR_S)
    assert (job.state, job.error) == (State.DONE, None)
    run, expected = (Run(Recipe()).after(each.events) for each in (job, right))
    assert run.latency is not None and run.quality is not None
    path, latency = known(expected.artifact).path, expected.latency
    assert (
        replace(run, artifact=replace(known(run.artifact), path=path), latency=latency) == expected
    )


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


def test_payloads_run_where_nothing_holds_them_back(
    made: Made, places: Places, tmp_path: Path
) -> None:
    """So that no marker after a drop says something of the explorer, not of the files."""
    marker = str(places.markers[0]).encode()
    armed = [
        case
        for case in CASES
        for _, path in made[case.id]
        if path.stat().st_size <= LARGEST_PAYLOAD and marker in path.read_bytes()
    ]
    assert len(armed) >= FEWEST_PAYLOADS
    markers, files = {}, []
    for case in armed:
        markers[case.id] = tmp_path / f"{case.id}-marker"
        [(_, content)] = case.contents(Places((markers[case.id],), places.secret))
        files.append(tmp_path / case.id)
        files[-1].write_bytes(content)
    subprocess.run(
        [sys.executable, "-m", "bad_files.reckless", *files],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        stderr=subprocess.DEVNULL,
        check=True,
    )
    assert {name for name, path in markers.items() if not path.exists()} == {NEVER_RUN}


def test_every_case_has_its_own_name() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 150


def test_each_family_has_a_case_beside_a_neighbour() -> None:
    for cases in FAMILIES.values():
        assert any(case in BESIDE for case in cases)
