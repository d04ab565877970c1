"""What somebody of team A tries with the rights of a deployer, as words of kubectl."""

__all__ = ["ATTEMPTS", "AT_HOME"]

# On team B.
ATTEMPTS = [
    "get pods",
    "get pods --watch",
    "get secrets",
    "get configmaps",
    "get inferenceservices",
    "get jobs",
    "get events",
    "get networkpolicies",
    "get resourcequota podium",
    "describe configmap kube-root-ca.crt",
    "get rolebindings",
    "logs pod/target",
    "exec target -- id",
    "attach target",
    "port-forward pod/target :8080",
    "cp target:/etc/passwd {folder}/passwd",
    "debug target --image=x",
    "delete pod target",
    "delete resourcequota podium",
    "delete networkpolicy podium-default-deny",
    "create configmap planted",
    "create token podium-deployer",
    "create rolebinding mine --role=podium-deployer --serviceaccount={a}:podium-deployer",
    "scale deployment x --replicas=9",
    "get --raw /api/v1/namespaces/{b}/pods/target/proxy/",
    "get --raw /api/v1/namespaces/{b}/services/x/proxy/",
    "get pods --as=system:serviceaccount:{b}:podium-deployer",
    "get pods --as=kubernetes-admin --as-group=system:masters",
]
# At home, or of no namespace: what would undo the walls.
AT_HOME = [
    "get secrets",
    "create token podium-deployer",
    "label namespace {a} pod-security.kubernetes.io/enforce=privileged --overwrite",
    "label namespace {a} podium.dev/tenant-",
    "annotate namespace {a} podium.dev/storage-",
    "delete namespace {b}",
    "delete networkpolicy podium-default-deny",
    "delete resourcequota podium",
    "create role all --verb=get --resource=secrets",
    "create rolebinding more --clusterrole=cluster-admin --serviceaccount={a}:podium-deployer",
    "create clusterrolebinding more --clusterrole=cluster-admin --serviceaccount={a}:podium-deployer",
    "delete validatingadmissionpolicybinding --all",
    "get nodes",
    "get pods --all-namespaces",
    "exec target -- id",
]
