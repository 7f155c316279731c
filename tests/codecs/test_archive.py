"""Bulk encoding: idempotent, resumable, and on Ray with a worker that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calotype.codecs.archive import JOURNAL, Entry, Job, encode_archive, list_pictures, read_manifest, write_manifest
from calotype.errors import UsageError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    for number in range(6):
        rng = np.random.default_rng(number)
        path = place / f"day{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        flat = np.full((40, 48, 3), 40 * number) + rng.integers(0, 9, (40, 48, 3))
        Image.fromarray(flat.clip(0, 255).astype(np.uint8)).save(path)
    return place


def journal(out: Path) -> list[str]:
    """Names that were encoded, as often as they were."""
    lines = [line for file in (out / JOURNAL).glob("*.jsonl") for line in file.read_text().splitlines()]
    return [json.loads(line)["name"] for line in lines]


def files(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*.calo")}


def test_a_manifest_reads_back_and_moves_with_its_folder(photos, tmp_path) -> None:
    entries = list_pictures(photos)
    write_manifest(tmp_path / "m.jsonl", entries)
    assert [entry.name for entry in entries] == sorted(f"day{n % 2}/{n}.png" for n in range(6))
    assert read_manifest(tmp_path / "m.jsonl") == entries
    assert str(tmp_path) not in (tmp_path / "m.jsonl").read_text()


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"name": "a"}', '{"name": "../a", "input": "a"}', '{"name": "/a", "input": "a"}']
    + ['{"name": "", "input": "a"}', '{"name": "journal/a", "input": "a"}', '{"name": "b", "input": "b"}'],
)
def test_a_bad_line_of_a_manifest_is_named(tmp_path, line) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"name": "b", "input": "b"}\n\n' + line + "\n")
    with pytest.raises(UsageError, match="line 3"):
        read_manifest(path)


def test_nothing_is_encoded_twice_and_a_failure_does_not_stop_the_rest(photos, tmp_path) -> None:
    (photos / "broken.png").write_bytes(b"no picture")
    entries, out = list_pictures(photos), tmp_path / "out"
    first = list(encode_archive(entries, Job(out)))
    assert [record["state"] for record in first] == ["failed"] + ["encoded"] * 6 and "picture" in first[0]["error"]
    before = files(out)
    again = list(encode_archive(entries, Job(out)))
    assert [record["state"] for record in again] == ["failed"] + ["kept"] * 6
    assert [record["sha256"] for record in again] == [record["sha256"] for record in first]
    assert files(out) == before and sorted(journal(out)) == sorted(entry.name for entry in entries[1:])
    assert [record["state"] for record in encode_archive(entries[1:2], Job(out, quality=20))] == ["encoded"]


def test_shards_of_the_command_make_what_one_command_makes(photos, tmp_path) -> None:
    def run(*arguments: object) -> None:
        subprocess.run([sys.executable, "-m", "calotype", "archive", *map(str, arguments)], check=True)

    run("list", photos, tmp_path / "m.jsonl")
    for shard in ("0/2", "1/2"):
        run("encode", tmp_path / "m.jsonl", tmp_path / "two", "--shard", shard, "--threads", 1)
    list(encode_archive(read_manifest(tmp_path / "m.jsonl"), Job(tmp_path / "one")))
    assert files(tmp_path / "two") == files(tmp_path / "one") and len(files(tmp_path / "two")) == 6


@pytest.mark.skipif("CALOTYPE_RAY" not in os.environ, reason="starts a Ray cluster: set CALOTYPE_RAY=1")
def test_on_ray_a_killed_worker_loses_nothing_and_nothing_is_encoded_twice(photos, tmp_path) -> None:
    pytest.importorskip("ray")
    from calotype.codecs.archive import encode_on_ray

    sources = list_pictures(photos)
    entries = [Entry(f"{copy:02}/{entry.name}", entry.input) for copy in range(20) for entry in sources]
    killed: list[int] = []

    def kill_one(out: Path) -> None:
        """The first process that has encoded something, once."""
        while not killed:
            for file in (out / JOURNAL).glob("*.jsonl"):
                if file.stat().st_size and not killed:
                    killed.append(int(file.stem.rsplit("-", 1)[1]))
                    os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.005)

    out = tmp_path / "ray"
    thread = threading.Thread(target=kill_one, args=(out,), daemon=True)
    thread.start()
    records = list(encode_on_ray(entries, Job(out), workers=2, block=8))
    thread.join(10)
    alone = tmp_path / "alone"
    list(encode_archive(entries, Job(alone)))
    assert killed, "no worker was killed"
    assert {record["name"] for record in records} == {entry.name for entry in entries}
    assert files(out) == files(alone)
    counts = journal(out)
    assert len(counts) == len(set(counts)), "encoded twice"
    # a file whose process died before it wrote its line is not in the journal
    assert len(entries) - 1 <= len(counts) <= len(entries)
    assert len(list((out / JOURNAL).glob("*.jsonl"))) >= 3, "the killed worker was not replaced"
