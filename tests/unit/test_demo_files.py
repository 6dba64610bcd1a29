"""The demo files are valid, harmless, varied, and say truly what is found in them."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import json
import random
import subprocess
import sys
import zipfile
from contextlib import chdir
from pathlib import Path

import jsonschema
import lief
import olefile  # type: ignore[import-untyped]  # it has no stubs
import pikepdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.classify import classify
from orchestrator.contracts.names import BUNDLED_WORKERS
from orchestrator.demo import files as demo_files
from orchestrator.demo.files import DemoFile
from orchestrator.demo.files.vba_project import compress
from tests.fixtures.waiting import PATIENCE_SECONDS
from workers import Analysis, Analyzer, Sample, Unsupported


def bundled_analyzer(name: str) -> Analyzer:
    module = importlib.import_module(f"workers.analyzers.{name}.analyzer")
    analyzer = getattr(module, name)
    assert isinstance(analyzer, Analyzer)
    return analyzer


ANALYZERS = {
    analyzer.name: analyzer for analyzer in map(bundled_analyzer, BUNDLED_WORKERS)
}
#: Where Assay's verdict turns malicious, and where suspicious.
MALICIOUS, SUSPICIOUS = 70, 30


def run(analyzer: Analyzer, path: Path) -> Analysis | None:
    sample = Sample(path=path, sha256="0" * 64, size=path.stat().st_size)
    try:
        # What one keeps as evidence it writes into the working directory.
        with chdir(path.parent):
            analysis = analyzer(sample)
    except Unsupported:
        return None
    jsonschema.validate(analysis.result, analyzer.schema)
    return analysis


def analyses(path: Path) -> dict[str, Analysis]:
    results = {name: run(analyzer, path) for name, analyzer in ANALYZERS.items()}
    return {
        name: analysis for name, analysis in results.items() if analysis is not None
    }


def score(results: dict[str, Analysis]) -> int:
    return max(analysis.score for analysis in results.values())


def assert_expectation(item: DemoFile) -> None:
    results = analyses(item.path)
    for worker, kind in item.expectation.findings:
        kinds = {finding["kind"] for finding in results[worker].result["findings"]}
        assert kind in kinds, (item.kind, worker)
    if item.expectation.status == "malicious":
        assert score(results) >= MALICIOUS, item.kind
    if item.expectation.status == "not_malicious":
        assert score(results) < MALICIOUS, item.kind


def test_every_bundled_analyzer_is_tried_here():
    assert set(ANALYZERS) == set(BUNDLED_WORKERS)


def test_there_are_many_files_of_different_kinds(tmp_path: Path):
    files = demo_files.build(tmp_path / "made")

    assert len(files) >= 14
    assert len({item.kind for item in files}) == len(files)
    assert all(item.path.is_file() and item.description for item in files)


def test_the_default_files_are_what_they_are_said_to_be(tmp_path: Path):
    for item in demo_files.build(tmp_path):
        assert_expectation(item)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_expectations_survive_other_names_bytes_urls_and_macros(
    tmp_path: Path, seed: int
):
    chance = random.Random(seed)
    word = "".join(chance.choices("abcdefgh", k=12))

    files = demo_files.build(
        tmp_path,
        seed=seed,
        urls=[f"http://{word}.invalid/{seed}", f"https://{word}.test/?q=%20&r=1"],
        macro_name=chance.choice(["Document_Open", "AutoClose", f"Do_{word}"]),
        padding_bytes=chance.randrange(1, 100_000),
    )

    for item in files:
        assert_expectation(item)


@pytest.mark.parametrize("padding", [0, 100_000])
def test_an_analyzer_gets_exactly_the_files_that_it_can_look_at(
    tmp_path: Path, padding: int
):
    """A task for a file of the wrong kind would only end as unsupported."""
    for item in demo_files.build(tmp_path, padding_bytes=padding):
        data = item.path.read_bytes()
        kind = classify(data[:8192], data[-65536:], len(data))
        for analyzer in ANALYZERS.values():
            sent = {"*", kind.type, kind.super_type} & set(analyzer.accepts)
            done = run(analyzer, item.path)
            assert bool(sent) == (done is not None), (item.kind, analyzer.name)


def test_a_seed_changes_names_and_bytes(tmp_path: Path):
    first, again, other = (
        demo_files.build(tmp_path / name, seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )

    def digests(files: list[DemoFile]) -> list[str]:
        return [hashlib.sha256(item.path.read_bytes()).hexdigest() for item in files]

    assert digests(first) == digests(again)
    same = set(digests(first)) & set(digests(other))
    assert len(same) == 2  # the empty file and the test file have one form each
    assert not {i.path.name for i in first} & {i.path.name for i in other}


def test_documents_that_can_act_are_clearly_flagged(tmp_path: Path):
    files = {item.kind: item for item in demo_files.build(tmp_path)}

    for kind in ("docm", "doc", "pdf_javascript"):
        assert score(analyses(files[kind].path)) >= SUSPICIOUS, kind


def test_harmless_kinds_are_below_suspicion(tmp_path: Path):
    files = {item.kind: item for item in demo_files.build(tmp_path)}

    for kind in ("text", "png", "pdf", "html", "elf", "pe", "macho", "zip", "empty"):
        assert score(analyses(files[kind].path)) < SUSPICIOUS, kind


@pytest.mark.parametrize("padding", [0, 5000, 70_000])
def test_parsers_accept_every_container(tmp_path: Path, padding: int):
    files = demo_files.build(tmp_path, padding_bytes=padding)
    path = {item.kind: item.path for item in files}

    assert lief.is_pe(str(path["pe"]))
    assert lief.is_elf(str(path["elf"]))
    assert lief.is_macho(str(path["macho"]))
    for kind in ("zip", "docm"):
        with zipfile.ZipFile(path[kind]) as archive:
            assert archive.testzip() is None
    with gzip.open(path["gzip"]) as stream:
        assert stream.read()
    for kind in ("pdf", "pdf_javascript"):
        with pikepdf.open(path[kind]) as pdf:
            assert pdf.get_warnings() == []
    with olefile.OleFileIO(path["doc"], raise_defects=olefile.DEFECT_UNSURE) as ole:
        assert ole.exists("Macros/VBA/dir")


def test_the_macro_has_the_name_that_was_asked_for(tmp_path: Path):
    files = demo_files.build(tmp_path, macro_name="Sheet_Total7")

    path = next(item.path for item in files if item.kind == "docm")
    from oletools.olevba import VBA_Parser  # noqa: PLC0415  (warns on first import)

    parser = VBA_Parser(str(path), disable_pcode=True)
    code = "".join(row[3] for row in parser.extract_all_macros())
    parser.close()

    assert "Sub Sheet_Total7()" in code


@pytest.mark.parametrize("name", ["", "1abc", "a b", 'x"', "ä"])
def test_a_macro_name_that_vba_would_refuse_is_refused(tmp_path: Path, name: str):
    with pytest.raises(ValueError, match="macro_name"):
        demo_files.build(tmp_path, macro_name=name)


def test_no_urls_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="urls"):
        demo_files.build(tmp_path, urls=[])


@given(st.binary(max_size=9000) | st.text(alphabet="ab", max_size=9000).map(str.encode))
@settings(max_examples=25)
def test_vba_compression_is_undone_by_a_reader(data: bytes):
    from oletools.olevba import decompress_stream  # noqa: PLC0415  (warns on import)

    padded = decompress_stream(bytearray(compress(data)))

    assert padded[: len(data)] == data
    assert not padded[len(data) :].strip(b"\0")


@pytest.mark.parametrize("name", sorted(ANALYZERS))
def test_no_damage_makes_an_analyzer_raise(tmp_path: Path, name: str):
    """Anything but a result or Unsupported would fail the task without a finding."""
    chance = random.Random(name)
    files = [item.path for item in demo_files.build(tmp_path / "whole")]
    damaged = tmp_path / "damaged"

    for _ in range(60):
        data = bytearray(chance.choice(files).read_bytes())
        if chance.random() < 0.4:
            data = data[: chance.randrange(len(data) + 1)]
        for _ in range(chance.choice([1, 5, 25]) if data else 0):
            data[chance.randrange(len(data))] = chance.choice([0, 0x7F, 0xFF])
        damaged.write_bytes(data)

        run(ANALYZERS[name], damaged)


CHILD = """
import importlib, json, os, resource, sys, tempfile
from pathlib import Path
from workers import Sample, Unsupported
name, folder = sys.argv[1:]
analyzer = getattr(importlib.import_module(f"workers.analyzers.{name}.analyzer"), name)
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os.chdir(tempfile.mkdtemp(dir=Path(folder).parent))
resource.setrlimit(resource.RLIMIT_AS, (analyzer.memory_bytes,) * 2)
done = 0
for path in sorted(Path(folder).iterdir()):
    sample = Sample(path=path, sha256="0" * 64, size=path.stat().st_size)
    try:
        json.dumps(analyzer(sample).result)
        done += 1
    except Unsupported:
        pass
print(done, flush=True)
os._exit(0 if done else 1)
"""


@pytest.mark.parametrize("name", BUNDLED_WORKERS)
def test_analyzers_work_in_a_forked_child_of_bounded_memory(tmp_path: Path, name: str):
    """A sandbox child is forked from a template that has imported the analyzer."""
    demo_files.build(tmp_path)

    done = subprocess.run(
        [sys.executable, "-c", CHILD, name, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) >= 3
