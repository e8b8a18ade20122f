#!/usr/bin/env python3
"""Checks what the files of a release contain: archives, bill of materials, image.

    deploy/release/contents.py FOLDER BINARIES REVISION      writes the binary of each architecture to BINARIES/ARCH

Needs cyclonedx-python-lib with json-validation. deploy/release/check calls it.
"""

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

PROJECT = Path(__file__).resolve().parent.parent.parent
PACKAGE = tomllib.loads((PROJECT / "Cargo.toml").read_text())["package"]
NAME, VERSION = PACKAGE["name"], PACKAGE["version"]
TARGETS = {"amd64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
MACHINES = {"amd64": "Advanced Micro Devices X86-64", "arm64": "AArch64"}

problems: list[str] = []


def require(condition: object, problem: str) -> None:
    if not condition:
        problems.append(problem)


def output(*command: str) -> str:
    return subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout


def tracked(folder: str) -> list[str]:
    """Files of a folder in the repository, relative to it."""
    root = PROJECT / folder
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]


def expected() -> set[str]:
    names = {NAME, "LICENSE", "README.md", "CHANGELOG.md", f"man1/{NAME}.1"}
    names |= {f"completions/{file}" for file in (f"{NAME}.bash", f"_{NAME}", f"{NAME}.fish")}
    for target, source in (("config", "config"), ("systemd", "deploy/systemd"), ("dashboards", "grafana/dashboards"),
                           ("rules", "deploy/prometheus/rules")):
        names |= {f"{target}/{file}" for file in tracked(source)}
    return names


def check_binary(arch: str, binary: bytes, scratch: Path) -> None:
    scratch.write_bytes(binary)
    header = output("readelf", "--file-header", "--program-headers", "--dynamic", "--wide", str(scratch))
    require(re.search(f"Machine: +{MACHINES[arch]}", header), f"{arch}: the binary is for another machine")
    require("INTERP" not in header and "(NEEDED)" not in header, f"{arch}: the binary is not static")
    for place in (str(PROJECT), str(Path.home()), "/tmp/"):
        found = re.search(re.escape(place).encode() + rb"[\x21-\x7e]*", binary)
        require(not found, f"{arch}: the binary contains a path of the build: {found and found[0].decode()}")


def check_archive(arch: str, path: Path, binary: Path) -> None:
    top = f"{NAME}-{VERSION}.linux-{arch}"
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        files = {member.name.removeprefix(f"{top}/"): member for member in members if not member.isdir()}
        require(all(member.name == top or member.name.startswith(f"{top}/") for member in members),
                f"{path.name}: has other folders at its top than {top}")
        missing = expected() - files.keys()
        require(not missing, f"{path.name}: lacks {sorted(missing)}")
        require(all(member.isfile() and (member.uid, member.gid) == (0, 0) for member in files.values()),
                f"{path.name}: a member is no file, or has another owner than root")
        require({member.mode for name, member in files.items() if name != NAME} <= {0o644, 0o755},
                f"{path.name}: unexpected permissions")
        require(len({member.mtime for member in members}) == 1, f"{path.name}: modification times differ")
        require(files[NAME].mode == 0o755, f"{path.name}: the binary is not executable")
        content = archive.extractfile(files[NAME]).read()
    check_binary(arch, content, binary)
    binary.chmod(0o755)
    print(f"{path.name}: {len(files)} files, a static binary of {len(content) // 1024} KiB")


def linked(arch: str) -> set[str]:
    """The crates that are compiled into the program, without its own."""
    tree = output("cargo", "tree", "--locked", "--edges=normal", "--prefix=none", f"--target={TARGETS[arch]}")
    crates = {" ".join(line.split()[:2]).replace(" v", "@") for line in tree.splitlines() if line}
    return crates - {f"{NAME}@{VERSION}"}


def check_bill_of_materials(path: Path, archs: list[str]) -> None:
    text = path.read_text()
    error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    require(error is None, f"{path.name}: does not match the schema: {error}")
    bill = json.loads(text)
    listed = {f"{part['name']}@{part['version']}" for part in bill["components"]}
    for arch in archs:
        missing = linked(arch) - listed
        require(not missing, f"{path.name}: lacks crates that the binary for {arch} has: {sorted(missing)}")
    locked = tomllib.loads((PROJECT / "Cargo.lock").read_text())["package"]
    unknown = listed - {f"{crate['name']}@{crate['version']}" for crate in locked}
    require(not unknown, f"{path.name}: lists crates that are not in Cargo.lock: {sorted(unknown)}")
    unlicensed = sorted(part["name"] for part in bill["components"] if not part.get("licenses"))
    require(not unlicensed, f"{path.name}: no licence of {unlicensed}")
    require("file:///" not in text and str(PROJECT) not in text, f"{path.name}: contains a path of the build")
    print(f"{path.name}: {len(listed)} crates")


class Layout:
    """An OCI image layout in a tar archive."""

    def __init__(self, path: Path) -> None:
        with tarfile.open(path) as archive:
            self.files = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}

    def blob(self, descriptor: dict) -> bytes:
        algorithm, digest = descriptor["digest"].split(":")
        content = self.files[f"blobs/{algorithm}/{digest}"]
        require(hashlib.sha256(content).hexdigest() == digest and len(content) == descriptor["size"],
                f"image: the blob {digest} is damaged")
        return content

    def images(self) -> Iterator[tuple[str, dict, list[bytes]]]:
        """Architecture, configuration and layers."""
        [index] = json.loads(self.files["index.json"])["manifests"]
        for descriptor in json.loads(self.blob(index))["manifests"]:
            manifest = json.loads(self.blob(descriptor))
            layers = [self.blob(layer) for layer in manifest["layers"]]
            yield descriptor["platform"]["architecture"], json.loads(self.blob(manifest["config"])), layers


def check_settings(arch: str, settings: dict, revision: str) -> None:
    title = "org.opencontainers.image"
    labels = {f"{title}.title": NAME, f"{title}.licenses": PACKAGE["license"], f"{title}.revision": revision,
              f"{title}.source": PACKAGE["repository"]}
    for label, value in labels.items():
        require(settings["Labels"].get(label) == value, f"image, {arch}: {label} is {settings['Labels'].get(label)}")
    require(settings["Labels"].get(f"{title}.description"), f"image, {arch}: no description")
    health = settings.get("Healthcheck", {})
    require(health.get("Test") == ["CMD", f"/{NAME}", "healthcheck"] and health.get("Interval"),
            f"image, {arch}: the health check is {health}")
    wanted = {"User": "10418:10418", "Entrypoint": [f"/{NAME}"], "WorkingDir": f"/var/lib/{NAME}",
              "ExposedPorts": {"10418/tcp": {}, "10419/tcp": {}}, "Volumes": {f"/var/lib/{NAME}": {}}}
    for key, value in wanted.items():
        require(settings.get(key) == value, f"image, {arch}: {key} is {settings.get(key)}")


def check_layers(arch: str, layers: list[bytes], binary: bytes) -> None:
    contents = {}
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            contents |= {member.name: (member, archive.extractfile(member).read() if member.isfile() else b"")
                         for member in archive}
    files = {name: content for name, (member, content) in contents.items() if not member.isdir()}
    require(files == {NAME: binary}, f"image, {arch}: holds other files than the archive's binary: {sorted(files)}")
    folder, _ = contents[f"var/lib/{NAME}"]
    require((folder.uid, folder.gid, folder.mode & 0o7777) == (10418, 10418, 0o750),
            f"image, {arch}: the data folder does not belong to the image's user")


def check_image(path: Path, archs: list[str], binaries: Path, revision: str) -> None:
    seen = []
    for arch, config, layers in Layout(path).images():
        seen.append(arch)
        require(config["architecture"] == arch and config["os"] == "linux", f"image, {arch}: wrong platform")
        require(config.keys() == {"architecture", "os", "created", "config", "rootfs", "history"},
                f"image, {arch}: unexpected keys in {sorted(config)}")
        check_settings(arch, config["config"], revision)
        check_layers(arch, layers, (binaries / arch).read_bytes())
    require(sorted(seen) == archs, f"image: is for {seen}, the archives for {archs}")
    print(f"{path.name}: {', '.join(seen)}: user, labels and health check; only the archives' binaries")


def main(folder: Path, binaries: Path, revision: str) -> None:
    archives = {arch: folder / f"{NAME}-{VERSION}.linux-{arch}.tar.gz" for arch in sorted(TARGETS)}
    archives = {arch: path for arch, path in archives.items() if path.exists()}
    require(archives, "no archive")
    for arch, path in archives.items():
        check_archive(arch, path, binaries / arch)
    bill = folder / f"{NAME}-{VERSION}.cdx.json"
    if bill.exists():
        check_bill_of_materials(bill, list(archives))
    image = folder / f"{NAME}-{VERSION}.oci.tar"
    if image.exists():
        check_image(image, list(archives), binaries, revision)
    for problem in problems:
        print(f"check: {problem}", file=sys.stderr)
    if problems:
        sys.exit(f"check: {len(problems)} problems")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
