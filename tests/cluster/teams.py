"""Two teams on the test cluster: their people, the policies that bind them, and what the API server says to them."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.conftest import Kubectl
from tests.eventually import eventually
from tests.rendered.engine import objects, render

__all__ = ["Document", "Person", "Teams", "answers", "person", "policies", "submit"]

Document = dict[str, Any]
POLICIES = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


@dataclass(frozen=True, slots=True)
class Person:
    """kubectl with the rights of a token and nothing else."""

    program: str
    config: Path
    namespace: str

    def run(self, *words: str, text: str | None = None, at: str = "") -> subprocess.CompletedProcess[str]:
        """Run kubectl in the person's namespace, or in another."""
        command = [self.program, "--kubeconfig", str(self.config), "-n", at or self.namespace, *words]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)


@dataclass(frozen=True, slots=True)
class Teams:
    """The namespaces of a run: two teams, one where models must be signed, and one that is nobody's."""

    a: Kubectl
    b: Kubectl
    signed: Kubectl
    nobody: Kubectl
    people: dict[str, Person]


def submit(to: Kubectl, document: Document) -> str:
    """Return what the API server says against a document, by a dry run; nothing where it takes it."""

    def ask() -> list[subprocess.CompletedProcess[str]]:
        done = to.run("create", "--dry-run=server", "-f", "-", text=json.dumps(document), check=False)
        # KServe's webhook may be away for a moment, and that is no verdict on the document.
        return [] if "failed calling webhook" in done.stderr else [done]

    (done,) = eventually(ask, 60, 1)
    return "" if done.returncode == 0 else done.stderr.strip() or "refused without a word"


def answers(to: Kubectl, documents: dict[str, Document]) -> dict[str, str]:
    """Return what the API server says against each of several documents."""
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(documents, pool.map(lambda one: submit(to, one), documents.values()), strict=True))


def policies(run: str, teams: list[str], values: Document) -> list[Document]:
    """Return the policies of the chart under names of this run, bound to namespaces of this run."""
    made = [one for one in objects(render("platform", values=values)) if one["kind"] in POLICIES]
    for one in made:
        one["metadata"]["name"] = f"{run}-{one['metadata']['name']}"
        if "policyName" in one["spec"]:
            one["spec"]["policyName"] = f"{run}-{one['spec']['policyName']}"
            (term,) = one["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
            assert term == {"key": "podium.dev/tenant", "operator": "Exists"}
            term |= {"operator": "In", "values": teams}
    return made


def person(cluster: Kubectl, namespace: str, account: str, folder: Path) -> Person:
    """Return kubectl as an account, by a token alone: a certificate beside it would be what counts."""
    config = yaml.safe_load(cluster.run("config", "view", "--raw", "--minify", "--flatten").stdout)
    token = Kubectl(cluster.program, namespace).run("create", "token", account, "--duration=30m").stdout.strip()
    config["users"][0]["user"] = {"token": token}
    path = folder / f"{namespace}-{account}"
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return Person(cluster.program, path, namespace)
