import json
from pathlib import Path

from predictors.images.sbom import Component, bill, debian_components, python_components

STATUS = "Package: libc6\nVersion: 2.36-9+deb12u14\nDescription: GNU C\n more\n\nPackage: zlib1g\nVersion: 1:1.2.13\n\n"


def test_installed_distributions_are_listed_with_version_and_license(tmp_path: Path) -> None:
    folder = tmp_path / "Tiny_Package-1.2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: Tiny_Package\nVersion: 1.2\nLicense-Expression: MIT\n"
    )
    assert list(python_components(tmp_path)) == [Component("pypi", "tiny-package", "1.2", "MIT")]


def test_a_license_that_is_a_whole_text_or_unknown_is_left_out(tmp_path: Path) -> None:
    for number, text in enumerate(["UNKNOWN", "x" * 200]):
        folder = tmp_path / f"p{number}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: p{number}\nVersion: 1\nLicense: {text}\n")
    assert {component.license for component in python_components(tmp_path)} == {""}


def test_debian_packages_are_read_from_the_status_text() -> None:
    found = list(debian_components(STATUS))
    assert [(part.name, part.version) for part in found] == [("libc6", "2.36-9+deb12u14"), ("zlib1g", "1:1.2.13")]
    assert found[1].purl == "pkg:deb/debian/zlib1g@1%3A1.2.13?distro=debian-12"


def test_nothing_is_listed_where_nothing_is_said() -> None:
    assert list(debian_components("")) == []


def test_the_bill_is_the_same_for_the_same_content_and_differs_with_it() -> None:
    parts = [Component("pypi", "b", "1"), Component("golang", "a.dev/x", "v2"), Component("pypi", "b", "1")]
    document = json.loads(bill("predictor-ort", "0123", parts))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    assert [part["purl"] for part in document["components"]] == ["pkg:golang/a.dev/x@v2", "pkg:pypi/b@1"]
    assert len({part["bom-ref"] for part in document["components"]}) == 2
    assert bill("predictor-ort", "0123", parts[::-1]) == bill("predictor-ort", "0123", parts)
    assert bill("predictor-ort", "0123", parts[:1]) != bill("predictor-ort", "0123", parts)
    assert "timestamp" not in document["metadata"]
