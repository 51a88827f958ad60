"""Makes `docs/reference/golden-manifest.json` from a manifest, without what is of one machine alone.

    .venv/bin/python docs/_ext/golden_manifest.py run/bundles/ID

Run it on the bundle of the tutorial when the format of manifests changes; tests compare the two.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from hwnas.files import read_checked_json, with_checksum

GOLDEN = Path(__file__).parents[1] / "reference" / "golden-manifest.json"


def golden(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest with neutral paths and names of versions of the operating system."""
    copy: dict[str, Any] = json.loads(json.dumps(manifest))
    copy["task"]["settings"]["data"] = "/data/drives"
    copy["latency"]["fingerprint"] |= {"kernel": "6.1.0", "os": "Linux"}
    copy["latency"]["states"] = copy["latency"]["states"][:1]
    return copy


def main() -> None:
    """Write the file."""
    manifest = read_checked_json(Path(sys.argv[1]) / "manifest.json")
    text = json.dumps(golden(manifest), indent=1)
    lists = re.sub(r"\[\s+([^\[\]{}]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    GOLDEN.write_text(with_checksum(lists), encoding="utf-8")


if __name__ == "__main__":
    main()
