"""`podium chaos` without its command line: a file of faults, a former log, or what a killed run left."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from podium.chaos.driver import Driver, stamp
from podium.chaos.faultlog import End, FaultLog, Header, Over, Past, read_log
from podium.chaos.golden import digests, read_requests
from podium.chaos.kindnodes import find_nodes
from podium.chaos.plan import Planned, draw
from podium.chaos.prober import PodProber, remove_prober
from podium.chaos.report import FILE, ChaosReport, build_report
from podium.chaos.site import Clock, Nodes, Site, WallClock
from podium.chaos.spec import CLUSTER_WIDE, KIND_ONLY, Faults, FaultsError, read_faults
from podium.chaos.undoing import undo_all
from podium.cluster.access import Access
from podium.cluster.adapter import Cluster
from podium.cluster.diagnosis import pod_fault
from podium.cluster.errors import ClusterError
from podium.cluster.intervention import Intervention
from podium.cluster.kinds import DEPLOYMENT, INFERENCE_SERVICE, NODE, Document, name_of
from podium.cluster.site import bringing, read_platform
from podium.errors import ConfigError, MachineError
from podium.wholefile import write_whole

__all__ = ["LOG", "Asked", "replay_of", "run_chaos", "undo_log", "wish_of"]

LOG = "faults.jsonl"
Say = Callable[[str], None]


class Asked:
    """What is to be done: the file of faults, its golden requests, and the faults themselves."""

    def __init__(self, spec: Faults, folder: Path, planned: Iterable[Planned] | None = None) -> None:
        self.spec = spec
        self.folder = folder
        self.requests = read_requests(spec, folder)
        self.planned = draw(spec) if planned is None else planned


def wish_of(path: Path, *, seed: int | None) -> Asked:
    """Read a file of faults with all that it names.

    Raises:
        FaultsError: it is refused; with file and line.
    """
    spec, document = read_faults(path)
    if seed is not None:
        spec = spec.model_copy(update={"seed": seed})
    read_requests(spec, path.parent, document)
    return Asked(spec, path.parent.absolute())


def replay_of(path: Path) -> Asked:
    """Read a log, to make the same faults again in the same order.

    Raises:
        ConfigError: it is no log, no fault is in it, or a golden request is another one now.
    """
    past = read_log(path)
    planned = past.planned()
    if not planned:
        raise ConfigError(f"{path} has no fault that could be made again", "name the log of a run that made some")
    asked = Asked(past.spec, Path(past.header.folder), planned)
    changed = [name for name, digest in digests(asked.requests).items() if past.header.golden.get(name) != digest]
    if changed:
        raise FaultsError(
            str(path),
            f"{changed[0]} is not what it was in that run",
            "bring the former file back, or begin anew with -f",
        )
    return asked


def run_chaos(
    asked: Asked, access: Access, *, runs: Path, allows_cluster_faults: bool, command: str, say: Say
) -> tuple[Path, ChaosReport]:
    """Make the faults, and return the folder of the run and its report.

    Raises:
        ConfigError: faults of the whole cluster are asked for and not allowed.
        ClusterError: the cluster lacks what they need, or one could not be made; what was done is undone.
    """
    _refuse_unallowed(asked, allows_cluster_faults)
    cluster = Cluster.connect(access)
    try:
        clock = WallClock()
        site = _site(cluster, asked.spec, clock)
        image = read_platform(cluster).images.get("loadtest")
        if image is None:
            raise ClusterError("The platform chart names no image of load generators", bringing("loadtest"))
        now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        folder = runs / f"chaos-{asked.spec.name}-{now}-{secrets.token_hex(3)}"
        log = FaultLog(_made(folder) / LOG)
        header = _header(asked, cluster, folder.name, clock.wall(), is_allowed=allows_cluster_faults)
        log.write(header)

        def trouble(pod: Document) -> str:
            fault = pod_fault(cluster, pod)
            return "" if fault is None else fault.sentence

        place = str(log.path.absolute())
        prober = PodProber(
            cluster, clock, asked.spec, asked.requests, image=image, run=folder.name, log=place, trouble=trouble
        )
        driver = Driver(site, prober, log, asked.spec, began=header.began, say=say)
        seen = driver.run(asked.planned)
        report = build_report(
            asked.spec,
            seen,
            driver.made,
            driver.skipped,
            began=header.began,
            folder=folder,
            context=cluster.context,
            namespace=cluster.namespace,
            command=command,
        )
        text = json.dumps(report.model_dump(mode="json"), indent=1, ensure_ascii=False)
        write_whole(folder / FILE, text + "\n")
        return folder, report
    finally:
        cluster.close()


def undo_log(path: Path, access: Access) -> list[str]:
    """Undo what a killed run left, and return what that was.

    Raises:
        ConfigError: it is no log.
        ClusterError: something cannot be undone.
    """
    past = read_log(path)
    header = past.header
    place = replace(access, context=access.context or header.context, namespace=access.namespace or header.namespace)
    log = FaultLog(path)
    cluster = Cluster.connect(place)
    try:
        site = _site(cluster, past.spec, WallClock(), kinds={one.kind for one in past.unfinished()})
        done = undo_past(past, site, log)
        if not past.is_over:
            remove_prober(cluster)
            log.write(Over(by="undo", at=stamp()))
            done.append("the prober is gone")
        return done
    finally:
        cluster.close()


def undo_past(past: Past, site: Site, log: FaultLog) -> list[str]:
    """Undo the faults that a log left unfinished, the last one first, and return which."""
    done = []
    for one in past.unfinished():
        undo_all(site, one.undo)
        log.write(End(n=one.n, outcome="undone later", by="undo", since_s=None, at=stamp()))
        done.append(f"undone: {one.kind}, {one.where}")
    return done


def _refuse_unallowed(asked: Asked, allows_cluster_faults: bool) -> None:
    wide = sorted({one.kind for one in asked.spec.faults} & CLUSTER_WIDE)
    if wide and not allows_cluster_faults:
        raise ConfigError(
            f"The faults {', '.join(wide)} are felt by all that runs on the cluster",
            "leave them out, or say --allow-cluster-faults where nobody else is on it",
        )


def _site(cluster: Cluster, spec: Faults, clock: Clock, *, kinds: set[str] | None = None) -> Site:
    names = tuple(one.name for one in spec.services)
    wanted = {one.kind for one in spec.faults} if kinds is None else kinds
    nodes: Nodes | None = None
    if wanted & KIND_ONLY:
        nodes = find_nodes(cluster.context, [name_of(one) for one in cluster.list(NODE)])
    site = Site(cluster, Intervention(cluster), nodes, clock, names)
    if wanted & KIND_ONLY:
        site.kind_nodes(sorted(wanted & KIND_ONLY)[0])
    if kinds is None:
        for name in names:
            _refuse_unserved(cluster, name)
    return site


def _refuse_unserved(cluster: Cluster, name: str) -> None:
    if cluster.get(INFERENCE_SERVICE, name) is None:
        raise ClusterError(
            f"There is no InferenceService {name} in {cluster.namespace}", "kubectl get inferenceservices -A"
        )
    if cluster.get(DEPLOYMENT, f"{name}-predictor") is None:
        raise ClusterError(
            f"The InferenceService {name} has no Deployment {name}-predictor",
            "faults are made in KServe's mode Standard only",
        )


def _header(asked: Asked, cluster: Cluster, run: str, began: float, *, is_allowed: bool) -> Header:
    return Header(
        run=run,
        seed=asked.spec.seed,
        spec=asked.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        folder=str(asked.folder),
        golden=digests(asked.requests),
        context=cluster.context,
        namespace=cluster.namespace,
        allowed_cluster_faults=is_allowed,
        began=began,
        at=stamp(),
    )


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise MachineError(
            f"{folder} cannot be made: {error.strerror or error}", "name another folder with --runs"
        ) from error
    return folder
