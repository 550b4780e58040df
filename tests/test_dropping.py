"""What becomes of a visit, and of its files, when files are dropped and models are removed."""

from pathlib import Path

import pytest
from interrupting import Interrupting, visit_to
from values import OPENED

from explorer.errors import JobError
from explorer.events import ModelRead
from explorer.jobs import State
from explorer.jobs.processes import BROKEN
from explorer.recipe import Recipe
from explorer.workspace.folders import Storage
from explorer.workspace.sources import Drop, Source
from explorer.workspace.workspace import Workspace


@pytest.fixture
def pool() -> Interrupting:
    return Interrupting()


@pytest.fixture
def visit(pool: Interrupting, tmp_path: Path) -> Workspace:
    """To a model without samples."""
    return visit_to(pool, tmp_path, OPENED)


def test_files_of_others_are_not_imported(visit: Workspace) -> None:
    drop = Drop((("m.onnx", visit.folder.path / "upload-1"),), None)
    with pytest.raises(JobError):
        drop.source(visit.folder.domain, (ModelRead("/etc/hostname", "ONNX", ()),))


def test_a_cancelled_import_leaves_all_as_it_was(visit: Workspace, pool: Interrupting) -> None:
    source, (_, compressing) = visit.source, pool.jobs[-1]
    visit.receive([("a.onnx", b"a")])
    visit.cancel_importing()
    visit.advance()
    assert not visit.importing.running
    assert (visit.notice, visit.selected) == (None, source)
    assert not list(visit.folder.path.iterdir())
    _, arguments = pool.jobs[-1]
    assert len(pool.jobs) == 4  # one to open, one to compress, the import, and compressing again
    assert arguments["recipe"] == compressing["recipe"]


@pytest.fixture
def unopened(pool: Interrupting, tmp_path: Path) -> Workspace:
    """A visit that begins with the second of two models, which is still being opened."""
    folder = Storage(tmp_path).folder()
    visit = Workspace(pool, folder)
    for key in ("first", "second"):
        file = tmp_path / f"{key}.onnx"
        visit.open(Source(key=key, title=key, domain=folder.domain, model=file))
    return visit


def test_files_refused_before_a_model_was_open_leave_that_model(
    unopened: Workspace, pool: Interrupting
) -> None:
    unopened.receive([("a.onnx", b"a")])
    pool.jobs[-1][0].end(State.FAILED, "This is no model.")
    unopened.advance()
    assert unopened.notice == "This is no model."
    assert unopened.selected == unopened.sources["second"]
    assert unopened.busy


def test_a_dropped_model_that_fails_before_another_was_open_leaves_that_one(
    unopened: Workspace, pool: Interrupting
) -> None:
    unopened.receive([("a.onnx", b"a")])
    dropped = next(path for path in unopened.folder.path.iterdir() if path.is_file())
    importing, _ = pool.jobs[-1]
    importing.add(ModelRead(str(dropped), "ONNX", ()))
    importing.end(State.DONE)
    unopened.advance()
    assert unopened.selected not in (None, *map(unopened.sources.get, ("first", "second")))
    pool.jobs[-1][0].end(State.FAILED, "It can't be run.")
    unopened.advance()
    assert unopened.notice == "It can't be run."
    assert unopened.selected == unopened.sources["second"]
    pool.jobs[-1][0].end(State.FAILED, "It was killed.")
    unopened.advance()
    assert not unopened.busy  # it isn't tried again and again


def files_of(visit: Workspace) -> list[bytes]:
    return sorted(path.read_bytes() for path in visit.folder.path.iterdir())


def test_files_that_others_take_the_place_of_are_removed(
    visit: Workspace, pool: Interrupting
) -> None:
    visit.receive([("a.onnx", b"a"), ("b.csv", b"b")])
    visit.receive([("b.csv", b"b"), ("c.onnx", b"c")])
    assert files_of(visit) == [b"b", b"c"]
    pool.jobs[-1][0].end(State.FAILED, "no")
    visit.advance()
    assert files_of(visit) == []


def test_files_dropped_twice_are_imported_once(visit: Workspace, pool: Interrupting) -> None:
    for _ in range(2):
        visit.receive([("a.onnx", b"a")])
    importing = [job for job, arguments in pool.jobs if "files" in arguments]
    assert len(importing) == 1
    importing[0].end(State.FAILED, "This is no model.")
    visit.advance()
    assert (visit.notice, visit.importing.running) == ("This is no model.", False)
    assert files_of(visit) == []


def test_a_process_that_says_nothing_of_an_import_is_not_believed(
    visit: Workspace, pool: Interrupting
) -> None:
    visit.receive([("a.onnx", b"a")])
    other = visit.folder.path / "never-dropped"
    other.write_bytes(b"x")
    pool.jobs[-1][0].add(ModelRead(str(other), "ONNX", ()))
    pool.jobs[-1][0].end(State.DONE)
    visit.advance()
    assert visit.notice == BROKEN


def dropped(visit: Workspace, pool: Interrupting, name: str) -> Source:
    """A model that is being opened, from a file of this name."""
    visit.receive([(f"{name}.onnx", name.encode())])
    [path] = [path for path in visit.folder.path.iterdir() if path.read_bytes() == name.encode()]
    model = path.with_suffix(".onnx")
    model.write_bytes(name.encode())
    importing, _ = pool.jobs[-1]
    importing.add(ModelRead(str(model), "ONNX", ()))
    importing.end(State.DONE)
    visit.advance()
    assert visit.selected is not None
    return visit.selected


def test_removing_a_model_that_is_being_opened_leaves_the_open_one_and_its_recipe(
    visit: Workspace, pool: Interrupting
) -> None:
    first = dropped(visit, pool, "first")
    pool.jobs[-1][0].add(OPENED)
    pool.jobs[-1][0].end(State.DONE)
    visit.advance()
    assert visit.source == first
    recipe = Recipe(pattern="channel", ratio=0.5)
    visit.set_recipe(recipe)
    second = dropped(visit, pool, "second")
    visit.remove(second.key)
    assert (visit.selected, visit.recipe) == (first, recipe)
    assert pool.jobs[-1][1]["recipe"] == recipe.to_json()
    assert b"second" not in files_of(visit)


def test_removing_the_open_model_goes_on_to_the_one_that_is_being_opened(
    visit: Workspace, pool: Interrupting
) -> None:
    first = dropped(visit, pool, "first")
    pool.jobs[-1][0].add(OPENED)
    pool.jobs[-1][0].end(State.DONE)
    visit.advance()
    second = dropped(visit, pool, "second")
    visit.remove(first.key)
    assert visit.selected == second
