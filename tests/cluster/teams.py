"""Two teams on the test cluster: their people, the policies that bind them, and what the API server says to them."""

import functools
import json
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes.client import ApiException
from kubernetes.config import kube_config
from kubernetes.dynamic import DynamicClient

from tests.cluster.conftest import ALLOWED, STANDARD, Kubectl
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


class _Door:
    """The API server, by connections that stay open: a start of kubectl costs more than the answer it fetches."""

    def __init__(self) -> None:
        client = kube_config.new_client_from_config(str(STANDARD), ALLOWED[0], persist_config=False)
        # The library's own place for what it finds would be shared by all on this machine.
        self._found = tempfile.TemporaryDirectory()
        self._kinds = DynamicClient(client, cache_file=str(Path(self._found.name) / "kinds.json"))

    def refusal(self, document: Document, namespace: str) -> str:
        """Return what is said against creating a document, which is not created; nothing where it is taken."""
        kind = self._kinds.resources.get(api_version=document["apiVersion"], kind=document["kind"])
        # As kubectl asks: a field that the kind does not have is refused.
        query = [("dryRun", "All"), ("fieldValidation", "Strict")]
        try:
            self._kinds.request("post", kind.path(namespace=namespace), body=document, query_params=query)
        except ApiException as error:
            return str(json.loads(error.body or "{}").get("message") or "refused without a word")
        return ""


@functools.cache
def _door() -> _Door:
    return _Door()


def submit(to: Kubectl, document: Document) -> str:
    """Return what the API server says against a document, by a dry run; nothing where it takes it."""

    def ask() -> list[str]:
        said = _door().refusal(document, to.namespace)
        # KServe's webhook may be away for a moment, and that is no verdict on the document.
        return [] if "failed calling webhook" in said else [said]

    (said,) = eventually(ask, 60, 1)
    return said


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
