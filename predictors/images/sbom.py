"""The bill of materials of an image: CycloneDX 1.5 JSON, the same bytes for the same content.

Python packages are read from what is installed in the image, Debian packages from the base's own records,
Go programs are named by whoever puts them in. There is no time stamp and no random serial number.
"""

import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import quote

__all__ = ["Component", "bill", "debian_components", "python_components"]

_UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """One package: where it comes from (`pypi`, `deb`, `golang`, `podium`), name, version, and license if it says."""

    ecosystem: str
    name: str
    version: str
    license: str = ""

    @property
    def purl(self) -> str:
        """The package URL (the purl specification, 2024)."""
        version = quote(self.version, safe="")
        if self.ecosystem == "deb":
            return f"pkg:deb/debian/{quote(self.name)}@{version}?distro=debian-12"
        if self.ecosystem == "podium":
            return f"pkg:generic/podium/{quote(self.name)}@{version}"
        return f"pkg:{self.ecosystem}/{quote(self.name)}@{version}"

    def document(self) -> dict[str, object]:
        """Give the component as CycloneDX has it."""
        known: dict[str, object] = {"type": "library", "bom-ref": self.purl, "name": self.name}
        known |= {"version": self.version, "purl": self.purl}
        if self.license:
            known["licenses"] = [{"license": {"name": self.license}}]
        return known


def python_components(folder: Path) -> Iterator[Component]:
    """Name the distributions installed in a folder."""
    for found in distributions(path=[str(folder)]):
        name = str(found.metadata["Name"]).lower().replace("_", "-")
        yield Component("pypi", name, found.version, _license(found))


def debian_components(status: str) -> Iterator[Component]:
    """Name the packages of dpkg's status text, one paragraph a package."""
    for paragraph in status.split("\n\n"):
        fields = HeaderParser().parsestr(paragraph.strip("\n"))
        if fields["Package"] and fields["Version"]:
            yield Component("deb", fields["Package"], fields["Version"])


def bill(image: str, version: str, components: Iterable[Component]) -> str:
    """Write the bill of one image as JSON.

    Args:
        image: name of the image without its tag.
        version: its tag.
        components: all that is inside, in any order.
    """
    parts = [component.document() for component in sorted(set(components))]
    content = json.dumps(parts, sort_keys=True)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{image}:{version}:{content}')}",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": image, "name": image, "version": version}},
        "components": parts,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _license(found: Distribution) -> str:
    known = found.metadata.get_all("License-Expression") or found.metadata.get_all("License") or [""]
    # Some put the whole text of the license there.
    first = (known[0].strip().splitlines() or [""])[0].strip()
    return "" if first.upper() == _UNKNOWN or len(first) > 80 else first
