"""A gate as JUnit XML, which CI systems show: a proven regression is a failure, what cannot be told is skipped."""

from xml.etree import ElementTree as ET

from podium.exits import printable
from podium.regression import Gate, counted

__all__ = ["junit_text"]


def junit_text(found: Gate) -> str:
    """Return the file's text: one suite, a test case for each figure of each subject."""
    suite = ET.Element(
        "testsuite",
        name=f"podium gate {found.name}",
        tests=str(len(found.cases)),
        failures=str(counted(found.cases, "regression")),
        errors="0",
        skipped=str(counted(found.cases, "not judged")),
    )
    properties = ET.SubElement(suite, "properties")
    facts = {"baseline": found.baseline, "tolerance": f"{found.tolerance:g}", "exit_code": str(found.exit_code)}
    for name, value in facts.items():
        ET.SubElement(properties, "property", name=name, value=printable(value))
    for case in found.cases:
        test = ET.SubElement(suite, "testcase", classname=printable(case.subject), name=case.figure)
        sentence = printable(case.sentence)
        if case.outcome == "regression":
            ET.SubElement(test, "failure", type="regression", message=sentence).text = sentence
        elif case.outcome == "not judged":
            ET.SubElement(test, "skipped", message=sentence)
        else:
            ET.SubElement(test, "system-out").text = sentence
    if found.notes:
        ET.SubElement(suite, "system-out").text = "\n".join(printable(note) for note in found.notes)
    ET.indent(suite)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suite, encoding="unicode")}\n'
