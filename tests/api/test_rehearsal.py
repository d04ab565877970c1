"""What a race would miss on a cluster: each lack is told, all of them at once, and asking leaves nothing behind."""

from dataclasses import replace

import pytest

from podium.cluster.access import Access
from podium.cluster.adapter import Cluster
from podium.cluster.deployment import helm_on
from podium.cluster.errors import ClusterError, UnreachableError
from podium.cluster.kinds import Document
from podium.cluster.rehearsal import Specimen, missing, refuse
from podium.cluster.release import Served
from podium.cluster.site import Platform
from podium.nodeclass import load_node_class
from tests.api.conftest import Api
from tests.api.kserve import AMD, IMAGES, KServe, node

pytestmark = pytest.mark.api

PLATFORM = Platform(site="", claim="podium-artifacts", images=IMAGES)
POD = "patch /api/v1/namespaces/podium/pods/r000000-ort-epyc-predictor-0"
SERVICE = "patch /apis/serving.kserve.io/v1beta1/namespaces/podium/inferenceservices/r000000-ort-epyc"


def specimen(runtime: str = "ort") -> Specimen:
    return Specimen(Served(f"tiny-{runtime}-fp32", "tiny", runtime, "fp32"), load_node_class("epyc"))


def lacks(cluster: Cluster, platform: Platform = PLATFORM, *specimens: Specimen) -> list[str]:
    found = missing(cluster, helm_on(cluster), platform, specimens or (specimen(),), runners=3)
    assert all(lack.remedy for lack in found)
    return [lack.sentence for lack in found]


def quota(**left: str) -> Document:
    hard = {name.replace("_", "."): amount for name, amount in left.items()}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": hard}} | {
        "status": {"hard": hard, "used": dict.fromkeys(hard, "0")}
    }


def test_a_cluster_that_has_everything_is_asked_and_left_as_it_was(kserve: KServe, cluster: Cluster, api: Api) -> None:
    before = {kind: kserve.names(kind) for kind in ("inferenceservices", "pods", "jobs", "deployments", "services")}
    assert lacks(cluster, PLATFORM, specimen("ort"), specimen("openvino")) == []
    assert api.asked(POD) == api.asked(SERVICE) == 1
    assert {kind: kserve.names(kind) for kind in before} == before


def test_each_lack_has_its_sentence(kserve: KServe, cluster: Cluster) -> None:
    assert lacks(cluster, replace(PLATFORM, images={"ort": "a:1"})) == [
        "The platform chart names no image of the load generator"
    ]
    assert lacks(cluster, PLATFORM, specimen("torch")) == [
        "There is no serving runtime podium-torch on here (images: loadtest, openvino, ort)"
    ]
    kserve.has("v1/nodes", node("loader", {}))
    assert lacks(cluster) == [
        "No node of here is ready to generate load: none has the label podium.dev/node-class=loadgen"
    ]
    kserve.furnish()
    kserve.lacks("v1/persistentvolumeclaims", "podium-artifacts")
    assert lacks(cluster) == ["The namespace podium has no claim 'podium-artifacts' of artifacts"]
    kserve.furnish()
    kserve.lacks("v1/nodes", "worker")
    assert lacks(cluster) == ["No node of here is of class epyc (1 nodes)"]
    kserve.furnish()
    kserve.lacks("v1/namespaces", "podium")
    assert lacks(cluster) == ["There is no namespace podium on here"]


def test_a_cluster_without_kserve_is_told_so_first(kserve: KServe, access: Access) -> None:
    kserve.api.does(lambda: kserve.api.server.resources.__delitem__("serving.kserve.io/v1beta1/inferenceservices"))
    fresh = Cluster.connect(access)
    assert lacks(fresh) == ["KServe is not installed on here"]
    fresh.close()


def busy(label: str) -> Document:
    asked = {"resources": {"requests": {"cpu": "3500m"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "busy", "labels": {label: "r123456"}},
        "spec": {"nodeName": "worker", "containers": [asked]},
        "status": {"phase": "Running"},
    }


def test_a_class_whose_nodes_are_full_is_told_with_what_is_free(kserve: KServe, cluster: Cluster) -> None:
    kserve.has("v1/pods", busy("app"))
    (said,) = lacks(cluster)
    assert said == (
        "No node of class epyc has room for a pod that asks for cpu 1, memory 1,024Mi: "
        "worker has cpu 0.5, memory 8,192Mi free"
    )
    # One node with processors and another with memory are no node with both.
    second = node("second", AMD)
    second["status"]["allocatable"] = {"cpu": "4", "memory": "512Mi"}
    kserve.has("v1/nodes", second)
    assert "worker has cpu 0.5, memory 8,192Mi free; second has cpu 4, memory 512Mi free" in lacks(cluster)[0]
    kserve.lacks("v1/nodes", "second")
    # Pods of races go, and are no reason to refuse the next one.
    kserve.has("v1/pods", busy("podium.dev/race"))
    assert lacks(cluster) == []
    # Nor is one that is being deleted: the former winner, where one race follows another.
    leaving = busy("app")
    leaving["metadata"]["deletionTimestamp"] = "2026-11-22T01:37:00Z"
    kserve.has("v1/pods", leaving)
    assert lacks(cluster) == []


def test_load_generators_that_do_not_fit_on_their_nodes_are_counted(kserve: KServe, cluster: Cluster) -> None:
    # Four cores hold fifteen runners of a quarter and the pod that gathers what they bring.
    assert missing(cluster, helm_on(cluster), PLATFORM, [specimen()], runners=15) == ()
    (lack,) = missing(cluster, helm_on(cluster), PLATFORM, [specimen()], runners=17)
    assert lack.sentence == "2 of 18 pods of the load generators have no room on loader"


def test_a_quota_is_compared_with_what_the_race_needs_at_once(kserve: KServe, cluster: Cluster, api: Api) -> None:
    kserve.has("v1/resourcequotas", quota(pods="5", requests_memory="64Gi"))
    assert lacks(cluster) == []
    kserve.has("v1/resourcequotas", quota(pods="4", requests_memory="1Mi"))
    few, small = lacks(cluster)
    assert few == "The quota small leaves 4 of pods, and the race needs 5 at once"
    assert small.startswith("The quota small leaves 1Mi of requests.memory, and the race needs ")
    api.refuses(POD, 403, 'pods "x" is forbidden: exceeded quota: small, requested: pods=1')
    assert lacks(cluster) == [few, small]
    scoped = quota(pods="0")
    scoped["spec"]["scopes"] = ["BestEffort"]
    kserve.has("v1/resourcequotas", scoped)
    assert lacks(cluster) == []


def test_what_admission_refuses_is_told_by_name_and_all_of_it_at_once(
    kserve: KServe, cluster: Cluster, api: Api
) -> None:
    api.refuses(POD, 403, 'pods "x" is forbidden: violates PodSecurity "restricted:latest"')
    api.refuses(SERVICE, 400, 'admission webhook "isvc.kserve" denied the request: no such format')
    kserve.lacks("v1/persistentvolumeclaims", "podium-artifacts")
    found = missing(cluster, helm_on(cluster), PLATFORM, [specimen()], runners=1)
    assert len(found) == 3
    with pytest.raises(ClusterError, match="cannot take this race, 3 things are missing") as raised:
        refuse(found)
    said = raised.value.hint
    assert len(said.splitlines()) == 3
    assert "The InferenceService of tiny-ort-fp32 on epyc would be refused" in said
    assert "no such format" in said
    assert "violates PodSecurity" in said
    assert "has no claim 'podium-artifacts'" in said
    with pytest.raises(ClusterError, match=r"^The namespace podium has no claim"):
        refuse(found[:1])
    refuse(())


def test_who_may_see_one_namespace_and_make_no_pods_may_race(kserve: KServe, cluster: Cluster, api: Api) -> None:
    api.refuses("get /api/v1/namespaces/podium", 403, 'namespaces "podium" is forbidden', always=True)
    api.refuses("get /api/v1/pods", 403, "pods is forbidden: User cannot list resource pods", always=True)
    api.refuses(POD, 403, 'pods "x" is forbidden: User "racer" cannot patch resource "pods"', always=True)
    assert lacks(cluster) == []
    api.refuses(SERVICE, 403, "inferenceservices is forbidden", always=True)
    (said,) = lacks(cluster)
    assert "inferenceservices is forbidden" in said


def test_a_server_that_goes_away_meanwhile_is_no_list_of_lacks(kserve: KServe, cluster: Cluster, api: Api) -> None:
    cluster.patience_s = 0.1
    assert lacks(cluster) == []
    api.stop()
    with pytest.raises(UnreachableError):
        lacks(cluster)
