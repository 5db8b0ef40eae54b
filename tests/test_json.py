"""What machines read: numbers in base units, a published schema, one order."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from mlbench.cli import comparison_table
from mlbench.evaluation.between_runs import compare, difference_of_machines
from mlbench.records import Device, Inspection, Record, facts_told, read_record
from mlbench.runs.made import TrainedBaseline, WrittenFile
from mlbench.system import environment
from tests.reports.example_records import example

ROOT = Path(__file__).parents[1]
SCHEMAS = {"report": ("record", Record), "inspect": ("inspection", Inspection)}
RECORDS = [
    *sorted((ROOT / "docs/records").glob("*.json")),
    *sorted((ROOT / "tests/reports/golden").glob("*.json")),
]

#: Numbers as people write them: 8,326,340 and 33.3 MB.
_FOR_PEOPLE = re.compile(r"\d{1,3}(,\d{3})+|\d[\d.]* ?(B|KB|MB|GB|KiB|MiB|GiB|ms|s|M|px|%)")


def _texts(value, where=""):
    """All texts of a JSON value, with where they stand."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, f"{where}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, where)
    elif isinstance(value, str):
        yield where, value


def _for_people(value):
    return [(where, text) for where, text in _texts(value) if _FOR_PEOPLE.fullmatch(text)]


@pytest.mark.parametrize(
    "words", [["list"], ["list", "options"], ["doctor"], ["cache"], ["data", "schema"]], ids=" ".join
)
def test_commands_give_numbers_not_words(words, command_line, cache):
    _, out, _ = command_line(*words, "--json")
    assert _for_people(json.loads(out)) == []
    if words != ["doctor"]:  # free memory differs
        assert command_line(*words, "--json")[1] == out


def test_networks_are_listed_with_numbers_in_base_units(command_line):
    listed = json.loads(command_line("list", "variants", "--json")[1])["variants"]
    basic = next(row for row in listed if row["name"] == "basic")
    assert isinstance(basic["parameters"], int)
    assert basic["float32_bytes"] == 4 * basic["parameters"]
    assert isinstance(basic["macs"], int)
    assert all(isinstance(size, int) for size in basic["feature_map"])


def test_ready_models_are_listed_with_their_bytes_and_metrics(command_line):
    rows = json.loads(command_line("list", "models", "--json")[1])["models"]
    assert rows
    for row in rows:
        assert isinstance(row["file_bytes"], int)
        assert all(isinstance(value, float) for test in row["metrics"].values() for value in test.values())


def test_the_doctor_tells_free_room_in_bytes(command_line):
    checks = {check["name"]: check for check in json.loads(command_line("doctor", "--json")[1])}
    assert isinstance(checks["memory"]["free_bytes"], int)
    assert isinstance(checks["disk for the cache"]["free_bytes"], int)


def test_the_cache_tells_its_bytes(command_line, cache):
    (cache / "baselines").mkdir(parents=True)
    (cache / "baselines" / "weights").write_bytes(b"1234")
    assert json.loads(command_line("cache", "--json")[1]) == {
        "folder": str(cache),
        "bytes": 4,
        "freed_bytes": 0,
    }
    cleared = json.loads(command_line("cache", "--clear", "--json")[1])
    assert (cleared["bytes"], cleared["freed_bytes"]) == (0, 4)


def test_a_comparison_says_units_and_is_numbers():
    record = example("basic")
    told = json.loads(json.dumps(comparison_table.as_json(compare(record, record))))
    assert _for_people(told["lines"]) == []
    assert {line["unit"] for line in told["lines"] if line["quantity"] in ("size", "memory")} == {"bytes"}
    assert all(isinstance(line["base"], (int, float)) for line in told["lines"])


def test_machines_are_described_by_numbers():
    facts = environment.machine()
    assert isinstance(facts["cores"], int)
    assert isinstance(facts["memory_bytes"], int)
    assert facts_told({"cores": 2, "memory_bytes": 3 * 2**29}) == {"cores": "2", "memory": "1.5 GiB"}
    assert facts_told({"memory_bytes": "much"}) == {"memory": "much"}  # a record may hold any text


def test_early_records_describe_machines_by_numbers_too():
    early = {"cores": "2", "memory": "23.5 GiB", "cpu": "Some CPU", "governor": "not told"}
    device = Device.model_validate(
        {"id": "host", "runner": "host", "name": "A", "threads": 1, "details": early}
    )
    assert device.details == {
        "cores": 2,
        "memory_bytes": 25232932864,
        "cpu": "Some CPU",
        "governor": "not told",
    }
    assert facts_told(device.details) == early
    later = device.model_copy(update={"details": device.details | {"memory_bytes": 25232932864 + 4096}})
    assert difference_of_machines(device, later) == ""


def test_what_was_trained_and_written_is_numbers_for_machines_and_a_sentence_for_people():
    metric = example("basic").task.primary
    file = WrittenFile(
        path="a.tflite", file_bytes=8326340, parameters=2081585, macs=5, metric=metric, validation=1.25
    )
    done = TrainedBaseline(
        network="basic",
        baseline="basic-1a",
        folder="/cache/basic-1a",
        reused=False,
        epochs=3,
        best_epoch=2,
        seconds=4.5,
        metric=metric,
        validation=1.25,
        file=file,
    )
    assert "8,326,340 bytes" in done.told()
    values = json.loads(done.model_dump_json())
    assert values["file"]["file_bytes"] == 8326340
    assert _for_people({key: value for key, value in values.items() if key != "metric"}) == []


@pytest.mark.parametrize("command", SCHEMAS)
def test_the_published_schema_is_what_the_command_prints(command, command_line):
    code, out, _ = command_line(command, "--schema")
    assert code == 0
    published = ROOT / "docs/schemas" / f"{SCHEMAS[command][0]}.json"
    assert published.read_text(encoding="utf-8") == out, f"mlbench {command} --schema > {published}"


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_records_are_as_the_published_schema_says(path):
    schema = json.loads((ROOT / "docs/schemas/record.json").read_text(encoding="utf-8"))
    values = read_record(path).model_dump(mode="json")
    jsonschema.Draft202012Validator(schema).validate(values)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(values | {"artifacts": []})
