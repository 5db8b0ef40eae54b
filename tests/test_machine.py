"""The machine used well: kernels, arithmetic, accelerators, and what training takes of it."""

import subprocess
import sys

import pytest

from mlbench import plugins
from mlbench.cli import diagnosis, options
from mlbench.errors import UsageError
from mlbench.system import quiet
from mlbench.system.cpu import computes_bfloat16, cpu_flags
from mlbench.training import accelerators
from mlbench.training.memory import training_bytes
from mlbench.training.options import TrainingOptions

OLD, NEW = "flags\t\t: fpu sse4_2 avx avx2 fma\n", "flags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n"


def _flags(folder, text):
    (folder / "cpuinfo").write_text(text)
    return cpu_flags(folder / "cpuinfo")


@pytest.fixture(autouse=True)
def _hidden(monkeypatch):
    """TensorFlow sees no GPU, as where no command has asked for one."""
    monkeypatch.setattr(quiet, "_seen", [])


@pytest.mark.parametrize(("text", "known"), [(OLD, False), (NEW, True), (ARM, True), ("", False)])
def test_bfloat16_is_told_by_the_flags_of_the_cpu(tmp_path, text, known):
    assert computes_bfloat16(_flags(tmp_path, text)) == known
    assert cpu_flags(tmp_path / "absent") == frozenset()


@pytest.mark.parametrize(("text", "chosen"), [(OLD, "float32"), (NEW, "bfloat16"), ("", "float32")])
def test_auto_is_bfloat16_only_on_cpus_that_have_it(tmp_path, monkeypatch, text, chosen):
    flags = _flags(tmp_path, text)
    monkeypatch.setattr(options, "cpu_flags", lambda: flags)
    assert options._arithmetic("auto") == chosen
    assert options._arithmetic("float32") == "float32"
    assert options._arithmetic("bfloat16") == "bfloat16"


def test_onednn_is_switched_on_where_the_cpu_has_avx2(tmp_path):
    assert quiet._variables(_flags(tmp_path, OLD))["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert "TF_ENABLE_ONEDNN_OPTS" not in quiet._variables(frozenset({"fpu", "avx"}))
    assert "TF_ENABLE_ONEDNN_OPTS" not in quiet._variables(_flags(tmp_path, ARM))


def test_what_the_user_set_stays():
    """In a process of its own: TensorFlow reads the variables as it is imported."""
    code = (
        "import os, sys, types; sys.modules['tensorflow'] = fake = types.ModuleType('tensorflow');"
        "fake.config = types.SimpleNamespace(list_physical_devices=lambda kind: []);"
        "fake.get_logger = lambda: types.SimpleNamespace(setLevel=print);"
        "os.environ['TF_ENABLE_ONEDNN_OPTS'] = '0'; os.environ['CUDA_VISIBLE_DEVICES'] = '3';"
        "from mlbench.system.quiet import quiet_tensorflow; quiet_tensorflow();"
        "print(os.environ['TF_ENABLE_ONEDNN_OPTS'], os.environ['CUDA_VISIBLE_DEVICES'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 3"


def test_gpus_are_hidden_unless_training_may_use_them():
    assert quiet._variables(frozenset())["CUDA_VISIBLE_DEVICES"] == "-1"
    accelerators.prepare("cpu")
    assert quiet._variables(frozenset())["CUDA_VISIBLE_DEVICES"] == "-1"
    accelerators.prepare("auto")
    assert "CUDA_VISIBLE_DEVICES" not in quiet._variables(frozenset())


def test_a_gpu_that_is_not_there_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(accelerators, "gpus", list)
    with pytest.raises(
        UsageError, match=r"sees no GPU here. Install .*tensorflow\[and-cuda\].*leave the option out"
    ):
        accelerators.prepare("gpu")
    monkeypatch.setattr(accelerators, "gpus", lambda: ["GPU:0"])
    accelerators.prepare("gpu")


def test_where_a_network_is_trained_is_hardware_and_in_no_key():
    assert TrainingOptions(accelerator="gpu").deciding() == TrainingOptions(accelerator="cpu").deciding()


def test_the_doctor_tells_what_training_takes():
    [check] = [check for check in diagnosis.checks() if check.name == "memory of training"]
    assert check.figures["basic_bytes"] < check.figures["two_pool_bytes"] < check.figures["one_pool_bytes"]
    assert all(name in check.found for name in ("basic", "two_pool", "one_pool"))


def test_memory_of_training_is_that_which_was_measured_and_grows_with_the_batch():
    basic = plugins.load("variants", "basic")
    assert training_bytes(basic) == pytest.approx(1.44e9, rel=0.02)
    assert training_bytes(basic, batch=240) > training_bytes(basic) > 16 * basic.parameters
