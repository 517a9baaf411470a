"""Say which locked packages that are installed have a licence that is not allowed.

usage: .venv/bin/python scripts/licences.py    (run by make lint; exit 1 where one is not)

The licence is what a package's own metadata says: its SPDX expression, else its classifiers, else its one-line text.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
ALLOWED = {
    # SPDX
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "ISC", "MIT", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib",
    # classifiers
    "Apache Software License", "BSD License", "ISC License (ISCL)", "MIT License",
    "Mozilla Public License 2.0 (MPL 2.0)", "Python Software Foundation License",
    # texts
    "3-Clause BSD License", "Apache 2.0", "Apache 2.0 License", "BSD", "BSD 3-Clause License", "FreeBSD",
}  # fmt: skip
# torch's CUDA packages come under NVIDIA's own licences, which are not free ones: named one by one.
NVIDIA = {
    "cuda-bindings", "cuda-pathfinder", "cuda-toolkit", "nvidia-cublas", "nvidia-cuda-cccl", "nvidia-cuda-cupti",
    "nvidia-cuda-nvrtc", "nvidia-cuda-runtime", "nvidia-cudnn-cu13", "nvidia-cufft", "nvidia-cufile", "nvidia-cusolver",
    "nvidia-cusparse", "nvidia-cusparselt-cu13", "nvidia-nccl-cu13", "nvidia-nvjitlink", "nvidia-nvshmem-cu13",
    "nvidia-nvtx",
}  # fmt: skip


def main() -> None:
    """Print the packages that are not allowed, and fail where there are any."""
    names = re.findall(r"^([\w.-]+)==", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    stated = {name: licence for name in names if (licence := stated_licence(name)) is not None}
    refused = {name: licence for name, licence in stated.items() if not is_allowed(name, licence)}
    for name, licence in refused.items():
        print(f"licences: {name}: {licence or 'none stated'}: not on the list of scripts/licences.py", file=sys.stderr)
    if refused or not stated:
        sys.exit(1)
    print(f"licences: {len(stated)} packages, all allowed")


def stated_licence(name: str) -> str | None:
    """Return the licence that a package states, "" for none, None where the package is not installed."""
    try:
        fields = metadata(name)
    except PackageNotFoundError:
        return None
    classifiers = [text for text in fields.get_all("Classifier", []) if text.startswith("License :: ")]
    named = [text.rpartition(" :: ")[2] for text in classifiers if text != "License :: OSI Approved"]
    return fields.get("License-Expression") or " AND ".join(named) or (fields.get("License") or "").strip()


def is_allowed(name: str, licence: str) -> bool:
    """Whether all licences joined by AND, or all of one choice of those joined by OR, are on the list.

    Expressions in brackets are not understood, and so not allowed.
    """
    choices = [choice.split(" AND ") for choice in licence.split(" OR ")]
    return name in NVIDIA or any(ALLOWED.issuperset(choice) for choice in choices)


if __name__ == "__main__":
    main()
