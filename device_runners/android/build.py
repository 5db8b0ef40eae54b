"""`mlbench android build`: from the app's source to a signed, aligned and verified APK, by plain tools."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from mlbench.contracts import Progress
from mlbench.device_runners.android import apk, checks, maven, signing
from mlbench.device_runners.android.tools import SHORT_JAVA, Command, Tools, call
from mlbench.errors import UsageError
from mlbench.system.cache import cache_folder
from mlbench.system.files import write_atomically

#: The app's source, beside the package: builds are made from a checkout.
HARNESS = Path(__file__).resolve().parents[2] / "android_harness"

#: The app's name on a device.
PACKAGE = "io.mlbench.harness"

#: Android 7.0: the oldest that the app runs on. The target is what stores ask for.
MINIMUM_SDK = 24
TARGET_SDK = 34

ABIS = ("arm64-v8a", "armeabi-v7a", "x86_64")

#: AARs: classes.jar, and libraries by ABI.
ARCHIVES = ("org.tensorflow:tensorflow-lite", "org.tensorflow:tensorflow-lite-api", "org.opencv:opencv")

#: Android's own classes, hidden ones too: what the app compiles against.
ANDROID = "org.robolectric:android-all"


@dataclass(frozen=True)
class Built:
    """A finished APK, and what was checked on it."""

    path: Path
    unsigned_sha256: str  # the same for the same source, dependencies and tools
    report: checks.Report


def maven_cache() -> Path:
    """Where fetched dependencies are kept."""
    return cache_folder() / "android" / "maven"


def default_apk() -> Path:
    """The APK that `mlbench android build` writes and the runner installs unless told otherwise."""
    return cache_folder() / "android" / "mlbench-harness.apk"


def build(
    abis: tuple[str, ...], target: Path, progress: Progress, keystore: signing.Keystore | None = None
) -> Built:
    """Build the harness app.

    Args:
        abis: which processors' libraries go in, of `ABIS`.
        target: the APK to write, by atomic rename.
        progress: hears each step.
        keystore: the signing key; None: this user's debug key.

    Raises:
        UsageError: a tool is missing or fails, an unknown ABI, or a check of the finished APK does not hold.
    """
    unknown = [abi for abi in abis if abi not in ABIS]
    if unknown or not abis:
        message = f"{', '.join(unknown) or 'No ABI'}: the app can be built for {', '.join(ABIS)}."
        raise UsageError(message)
    if not (HARNESS / "AndroidManifest.xml").is_file():
        message = f"{HARNESS} is not there: `mlbench android build` needs a checkout of mlbench's repository."
        raise UsageError(message)
    tools = Tools.from_environment()
    tools.require()
    progress.say("fetching TensorFlow Lite, OpenCV and D8 where the cache lacks them")
    parts = maven.fetch(maven.read_lock(HARNESS / "dependencies.lock"), maven_cache(), tools)
    key = keystore or signing.debug_keystore(platformdirs.user_data_path("mlbench"), tools)
    with tempfile.TemporaryDirectory(prefix="mlbench-apk-") as name:
        work = Path(name)
        unsigned = _unsigned(abis, parts, work, tools, progress)
        signed = work / "signed.apk"
        progress.say("signing and checking")
        signing.sign(unsigned, signed, key, MINIMUM_SDK, tools)
        report = checks.check(signed, abis, tools)
        with write_atomically(target) as part:
            shutil.copyfile(signed, part)
        return Built(target, hashlib.sha256(unsigned.read_bytes()).hexdigest(), report)


def _unsigned(
    abis: tuple[str, ...], parts: dict[str, Path], work: Path, tools: Tools, progress: Progress
) -> Path:
    progress.say("compiling")
    libraries = classes_of_archives(parts, work)
    classes = compile_app(parts, libraries, work / "classes", tools)
    check_public_api(parts, classes, tools)
    progress.say("dexing and packing")
    dex = _dex(parts, libraries, classes, work, tools)
    base = _link_manifest(parts, work, tools)
    unsigned = work / "unsigned.apk"
    apk.pack(_entries(base, dex, abis, parts), unsigned)
    return unsigned


def classes_of_archives(parts: dict[str, Path], work: Path) -> list[Path]:
    """Take `classes.jar` out of TensorFlow Lite's and OpenCV's AARs."""
    jars = []
    for name in ARCHIVES:
        jar = work / f"{parts[name].stem}.jar"
        with zipfile.ZipFile(parts[name]) as archive:
            jar.write_bytes(archive.read("classes.jar"))
        jars.append(jar)
    return jars


def compile_app(parts: dict[str, Path], libraries: list[Path], classes: Path, tools: Tools) -> Path:
    """Compile the app's Java 8 source against Android's classes; returns the folder of class files.

    Raises:
        UsageError: the source does not compile.
    """
    classes.mkdir(parents=True)
    path = ":".join(str(part) for part in (parts[ANDROID], *libraries))
    sources = sorted((HARNESS / "src").rglob("*.java"))
    options = [
        *(f"-J{option}" for option in SHORT_JAVA),
        "-nowarn",
        "-Xlint:-options",
        "--release",
        "8",
        "-encoding",
        "UTF-8",
    ]
    call([tools.path("javac"), *options, "-cp", path, "-d", classes, *sources], "The app does not compile")
    return classes


def check_public_api(parts: dict[str, Path], classes: Path, tools: Tools) -> None:
    """Check that the app calls Android's public API of its lowest level only.

    Raises:
        UsageError: a call that level 24 does not have, or that is hidden.
    """
    path = f"{parts['org.codehaus.mojo:animal-sniffer']}:{parts['org.ow2.asm:asm']}"
    program = HARNESS / "checks" / "PublicApi.java"
    # D8 turns lambdas into classes, so java.lang.invoke never reaches the device.
    others = [f"{PACKAGE}.*", "org.tensorflow.lite.*", "org.opencv.*", "java.lang.invoke.*"]
    signature = parts["net.sf.androidscents.signature:android-api-level-24"]
    java: Command = [tools.path("java"), *SHORT_JAVA, "-cp", path, program]
    command: Command = [*java, signature, classes, *others]
    call(command, f"The app calls what Android API level {MINIMUM_SDK} does not have")


def _dex(
    parts: dict[str, Path], libraries: list[Path], classes: Path, work: Path, tools: Tools
) -> list[Path]:
    jar = work / "classes.jar"
    files = sorted(classes.rglob("*.class"))
    apk.pack((apk.Entry(str(f.relative_to(classes)), f.read_bytes(), stored=True) for f in files), jar)
    target = work / "dex"
    target.mkdir()
    from_sdk = tools.find("d8")
    by_maven: Command = [tools.path("java"), *SHORT_JAVA, "-cp", parts["com.android.tools:r8"]]
    d8: Command = [from_sdk] if from_sdk else [*by_maven, "com.android.tools.r8.D8"]
    options: Command = [
        "--release",
        "--min-api",
        str(MINIMUM_SDK),
        "--lib",
        parts[ANDROID],
        "--output",
        target,
    ]
    call([*d8, *options, jar, *libraries], "D8 cannot translate the app")
    return sorted(target.glob("*.dex"))


def _link_manifest(parts: dict[str, Path], work: Path, tools: Tools) -> Path:
    base = work / "base.apk"
    manifest = HARNESS / "AndroidManifest.xml"
    versions = ["--min-sdk-version", str(MINIMUM_SDK), "--target-sdk-version", str(TARGET_SDK)]
    command: Command = [
        tools.path("aapt2"),
        "link",
        "-o",
        base,
        "-I",
        parts[ANDROID],
        "--manifest",
        manifest,
        *versions,
    ]
    call(command, "aapt2 refuses the manifest")
    return base


def _entries(
    base: Path, dexes: list[Path], abis: tuple[str, ...], parts: dict[str, Path]
) -> Iterator[apk.Entry]:
    with zipfile.ZipFile(base) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            stored = info.compress_type == zipfile.ZIP_STORED or info.filename == "resources.arsc"
            yield apk.Entry(info.filename, archive.read(info), stored)
    for dex in dexes:
        yield apk.Entry(dex.name, dex.read_bytes(), stored=False)
    for abi in sorted(abis):
        for name in ARCHIVES:
            yield from libraries(parts[name], abi)


def libraries(aar: Path, abi: str) -> Iterator[apk.Entry]:
    """The shared libraries of an AAR for one processor, as they go into the APK."""
    with zipfile.ZipFile(aar) as archive:
        for name in sorted(
            n for n in archive.namelist() if n.startswith(f"jni/{abi}/") and n.endswith(".so")
        ):
            yield apk.Entry(f"lib/{abi}/{name.rsplit('/', 1)[1]}", archive.read(name), stored=True)
