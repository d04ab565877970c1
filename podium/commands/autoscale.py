"""`podium autoscale`: targets from a race, policies on a simulator, and policies scored live."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from podium.autoscaling.metric import Metric
from podium.console import Output, print_document, print_styled, print_table
from podium.mode import Mode

if TYPE_CHECKING:
    from podium.autoscaling.setting import Setting

__all__ = ["register"]


# Of `replicas.max` in the chart `variant`.
_MOST_PODS = 1000
_TABLE_END = "-o yaml writes the policy, -o json the values of the chart"
_FILE_END = "try it under load before you rely on it"
_RACE = "Race by id, `latest`, or folder."
_Runs = Annotated[Path, typer.Option(help="Where races are kept.")]
_Variant = Annotated[str | None, typer.Option(help="Variant id; the default is the winner.")]
_NodeClass = Annotated[str | None, typer.Option(help="Node class, where the variant ran on several.")]
_Output = Annotated[Output, typer.Option("-o", "--output", help="How to print.")]
_Peak = Annotated[
    str | None, typer.Option(help="Largest rate of a shape, as 400/s; the default is what four pods hold.")
]
_Length = Annotated[str, typer.Option(help="Length of a named shape.")]
_MaxPods = Annotated[int | None, typer.Option(min=1, max=1000, help="Most pods, of every policy.")]
_Start = Annotated[str | None, typer.Option(help="From wanted to ready, as 4s; the default is the race's.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    group = typer.Typer(
        help="Compute autoscaling targets from a race, simulate policies, and score them live.", no_args_is_help=True
    )
    group.command(epilog="Example: podium autoscale targets latest -o yaml")(targets)
    group.command(
        epilog="Example: podium autoscale simulate --trace burst --policy kserve-default --policy computed-cpu"
    )(simulate)
    group.command(epilog="Example: podium autoscale suggest latest --trials 5 --length 2m")(suggest)
    group.command(
        epilog="Example: podium autoscale score -f step --policy kserve-default --policy computed-cpu --cpu 200m"
    )(score)
    group.command(epilog="Example: podium autoscale calibrate runs/autoscale-food11-ort-int8-20261122-090000-1a2b3c")(
        calibrate
    )
    app.add_typer(group, name="autoscale", epilog="Example: podium autoscale targets latest")


def targets(
    race: Annotated[str, typer.Argument(help=_RACE)],
    variant: _Variant = None,
    node_class: _NodeClass = None,
    utilization: Annotated[
        str | None, typer.Option(help="Planned share of the safe rate; the default is the race's.")
    ] = None,
    peak: Annotated[str | None, typer.Option(help="Largest total rate, as 400/s; sets the most replicas.")] = None,
    mode: Annotated[Mode, typer.Option(help="Mode that the values of -o yaml are for.")] = "Standard",
    output: Annotated[Output, typer.Option("-o", "--output", help="yaml: values of the chart `variant`.")] = (
        Output.TABLE
    ),
    runs: _Runs = Path("runs"),
) -> None:
    """Compute what an autoscaler should hold each pod at, from the rate that a race proved.

    With -o yaml the output is values of the chart `variant` for `helm --values`, and holds only what that chart takes.
    """
    from podium.autoscaling.setting import measured_pod
    from podium.autoscaling.targets import helm_values
    from podium.autoscaling.targettable import target_document, target_rows
    from podium.errors import ConfigError

    pod = measured_pod(
        race,
        runs,
        variant=variant,
        node_class=node_class,
        utilization=None if utilization is None else _share(utilization),
        peak=None if peak is None else _rate(peak),
    )
    capacity, found = pod.capacity, pod.targets
    most = max(2, found.pods["peak"]) if "peak" in found.pods else None
    if most is not None and most > _MOST_PODS:
        raise ConfigError(
            f"--peak {peak} needs {most:,} pods of {capacity.variant}, and the chart takes {_MOST_PODS:,} at most",
            "name a smaller rate, or a variant that holds more",
        )
    if output is Output.JSON:
        print_document(target_document(capacity, found), output)
        return
    if output is Output.TABLE:
        print_styled(f"{capacity.variant} on {capacity.node_class}, one pod")
        print_table(("TARGET", "VALUE", "FROM", "GOES TO"), target_rows(found), right={"VALUE"})
        for note in found.notes:
            print_styled(note)
        return
    try:
        values = helm_values(found, mode, most_pods=most)
    except ValueError as error:
        raise ConfigError(
            f"no CPU target for {capacity.variant}, and the chart's HPA takes no other: {found.missing['cpu']}",
            "add --mode Knative, or look at the other targets with -o table",
        ) from error
    print_document(values, output)


def simulate(
    policy: Annotated[list[str], typer.Option(help="Policy file or name; again for each one to compare.")],
    trace: Annotated[
        list[str], typer.Option(help="step, burst, ramp, diurnal; a profile with stages; or a file of arrivals.")
    ],
    race: Annotated[str, typer.Option(help=f"What a pod can do. {_RACE}")] = "latest",
    variant: _Variant = None,
    node_class: _NodeClass = None,
    peak: _Peak = None,
    length: _Length = "6m",
    seed: Annotated[int, typer.Option(min=0, help="Moves the parts of a named shape about.")] = 0,
    max_pods: _MaxPods = None,
    start: _Start = None,
    output: _Output = Output.TABLE,
    runs: _Runs = Path("runs"),
) -> None:
    """Replay a load against autoscaling policies, on a model of the autoscaler and of the pods that a race measured.

    Policies by name: kserve-default, knative-default, and computed-cpu, computed-rate, computed-in-flight and
    computed-knative, which follow from the race; those may grow to twice the pods that the peak needs: that of --peak,
    or of the traces without it. A recorded trace has its own rates. What comes out is simulated, not measured.
    """
    from podium.autoscaling.traces import load_trace
    from podium.autoscaling.trial import COLUMNS, NUMBERS, capped, document, row, try_policies
    from podium.errors import UsageError

    setting = _setting(race, runs, variant, node_class, peak, start, max_pods)
    seconds = _seconds(length)
    traces = [load_trace(name, peak=setting.peak, seconds=seconds, seed=seed) for name in trace]
    if peak is None:
        setting = setting.under(traces)
    policies = [setting.policy(name) for name in policy]
    if len({one.name for one in policies}) < len(policies):
        raise UsageError("two policies have one name", "give each file a name of its own")
    trials = try_policies(traces, policies, setting.model)
    if output is Output.TABLE:
        print_styled(setting.told)
        print_table(COLUMNS, [row(one) for one in trials], right=NUMBERS)
    else:
        print_document([document(one) for one in trials], output)
    _say(capped(trials), output)


def suggest(
    race: Annotated[str, typer.Argument(help=_RACE)] = "latest",
    variant: _Variant = None,
    node_class: _NodeClass = None,
    metric: Annotated[Metric, typer.Option(help="What the HPA watches; the chart takes cpu.")] = "cpu",
    baseline: Annotated[str, typer.Option(help="HPA policy to beat, by name or file.")] = "kserve-default",
    trials: Annotated[int, typer.Option(min=1, max=2000, help="Most policies that are simulated.")] = 80,
    seed: Annotated[int, typer.Option(min=0, help="Of the traces, those searched on and those judged on.")] = 0,
    peak: _Peak = None,
    length: _Length = "6m",
    max_pods: _MaxPods = None,
    start: _Start = None,
    output: Annotated[Output, typer.Option("-o", "--output", help="yaml: the suggested policy as a file.")] = (
        Output.TABLE
    ),
    runs: _Runs = Path("runs"),
) -> None:
    """Search HPA settings on the simulator, and show the best against a baseline on traces that it was not fitted to.

    A suggestion is simulated and not verified: try it under load before you rely on it.
    """
    from podium.autoscaling.policy import HpaPolicy
    from podium.autoscaling.suggestion import suggest as search
    from podium.autoscaling.suggestion import training_traces
    from podium.autoscaling.suggestionscreen import show_suggestion, suggestion_document
    from podium.autoscaling.trial import capped
    from podium.errors import UsageError

    setting = _setting(race, runs, variant, node_class, peak, start, max_pods)
    beaten = setting.policy(baseline)
    if not isinstance(beaten, HpaPolicy):
        raise UsageError(f"--baseline {baseline} is of kind kpa, and an HPA is searched", "name one of kind hpa")
    full = setting.full(metric)
    seconds = _seconds(length)
    searched, held_out = (
        training_traces(peak=setting.peak, seconds=seconds, seed=seed, held_out=judged) for judged in (False, True)
    )
    found = search(beaten, setting.model, full=full, metric=metric, trials=trials, searched=searched, held_out=held_out)
    if output is Output.TABLE:
        show_suggestion(found, setting.told)
    elif output is Output.YAML:
        print_document(found.policy.model_dump(by_alias=True, mode="json", exclude_none=True), output)
    else:
        print_document(suggestion_document(found), output)
    _say(capped(found.held_out), output)
    if not found.is_better:
        _say(["no settings were found that violate less for about the same pods: keep what you have"], output)
    _say([f"simulated, not verified live: {_TABLE_END if output is Output.TABLE else _FILE_END}"], output)


def score(
    records: Annotated[
        list[Path] | None, typer.Argument(help="Folders or files that were recorded: scored again, nothing is played.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("-f", "--profile", help="Load with stages or a trace, by name or file.")
    ] = None,
    policy: Annotated[
        list[str] | None, typer.Option(help="Policy file or name; again for each one, the baseline first.")
    ] = None,
    race: Annotated[str, typer.Option(help=f"What a pod can do. {_RACE}")] = "latest",
    variant: Annotated[str | None, typer.Option(help="Variant id or artifact folder; the default is the winner.")] = (
        None
    ),
    node_class: _NodeClass = None,
    slo: Annotated[str | None, typer.Option(help="In the place of the race's, as p99<=250ms.")] = None,
    safe_rate: Annotated[
        str | None,
        typer.Option(help="What a pod holds, as 8/s; with variant, class and SLO no race is read."),
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help="What percentages of the profile are of, as 40/s; else what four pods hold.")
    ] = None,
    cpu: Annotated[str | None, typer.Option(help="CPU of a pod, as 200m; the default is the node class's.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory of a pod, as 256Mi.")] = None,
    payloads: Annotated[
        Path | None, typer.Option(help="Folder of requests; the default is the artifact's golden inputs.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Runs of each policy, in turn.")] = 5,
    runners: Annotated[int, typer.Option(min=1, max=16, help="Load generators that share the schedule.")] = 1,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the arrivals; the same question has the same.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Do not go on with a session that was interrupted.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the pages; the default is the session's.")] = None,
    namespace: Annotated[
        str | None, typer.Option("-n", "--namespace", help="Namespace; the default is the context's.")
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="The kubeconfig file.")] = None,
    store: Annotated[Path | None, typer.Option(help="Artifact store; the default is PODIUM_STORE.")] = None,
    output: _Output = Output.TABLE,
    runs: _Runs = Path("runs"),
) -> int:
    """Play a load on a cluster under each policy with replicas free, and say what each does to users and to the bill.

    Policies take turns on the same arrivals. Ctrl-C leaves nothing on the cluster and keeps what was finished; the same
    command goes on. Exit code 6: a policy has no run that counts.
    """
    from podium.errors import UsageError
    from podium.scoring.live import score_live, score_records
    from podium.scoring.screen import show_comparison

    if records and (profile is not None or policy):
        raise UsageError("what was recorded is scored again, and -f and --policy play anew", "leave out one of them")
    if records:
        comparison, page = score_records(records, out)
    elif profile is None or not policy:
        raise UsageError(
            "which load to play under which policies is not said",
            "podium autoscale score -f step --policy a.yaml --policy b.yaml, or name what was recorded",
        )
    else:
        from podium.cluster.access import Access
        from podium.scoring.question import Asked
        from predictors.store import default_store

        asked = Asked(
            profile=profile,
            policies=policy,
            race=race,
            runs=runs,
            store=store or default_store(),
            variant=variant,
            node_class=node_class,
            slo=slo,
            safe_rate=None if safe_rate is None else _rate(safe_rate, "--safe-rate"),
            rate=None if rate is None else _rate(rate, "--rate"),
            cpu=cpu,
            memory=memory,
            payloads=payloads,
            repeats=repeats,
            runners=runners,
            seed=seed,
        )
        comparison, page = score_live(asked, Access(kubeconfig, context, namespace), fresh=new, out=out)
    show_comparison(comparison, page, output)
    return 0 if all(one.repeats for one in comparison.policies) else 6


def calibrate(
    records: Annotated[list[Path], typer.Argument(help="Folders or files that podium autoscale score wrote.")],
    output: _Output = Output.TABLE,
) -> None:
    """Simulate what was recorded from its load alone, and say how near the simulator comes.

    What a pod is like is taken from the other runs of the same question. Exit code 0 whatever comes out.
    """
    from podium.scoring.card import card_of
    from podium.scoring.record import find_runs
    from podium.scoring.replay import replays
    from podium.scoring.screen import show_replays

    show_replays(replays([card_of(run) for run in find_runs(records)]), output)


def _say(sentences: Sequence[str], output: Output) -> None:
    """Print sentences below a table, and beside a document, which a file or a program takes as it is."""
    from podium.exits import printable

    for text in sentences:
        if output is Output.TABLE:
            print_styled(text)
        else:
            typer.echo(printable(text), err=True)


def _setting(
    race: str,
    runs: Path,
    variant: str | None,
    node_class: str | None,
    peak: str | None,
    start: str | None,
    max_pods: int | None,
) -> "Setting":
    from podium.autoscaling.setting import measured_pod, setting_of
    from podium.quantities import parse_duration

    return setting_of(
        measured_pod(race, runs, variant=variant, node_class=node_class),
        peak=None if peak is None else _rate(peak),
        start_s=None if start is None else parse_duration(start),
        most_pods=max_pods,
    )


def _seconds(length: str) -> int:
    from podium.errors import UsageError
    from podium.quantities import parse_duration

    seconds = round(parse_duration(length))
    if not 30 <= seconds <= 86_400:
        raise UsageError(f"--length {length} is not between 30s and 24h", "write for example 6m")
    return seconds


def _share(text: str) -> float:
    from loadtest.amounts import parse_share
    from podium.errors import UsageError

    try:
        share = parse_share(text)
    except ValueError as error:
        raise UsageError(f"--utilization: {error}", "write for example 70%") from error
    if not 0 < share <= 1:
        raise UsageError(f"--utilization {text} is not above 0% and at most 100%", "write for example 70%")
    return share


def _rate(text: str, option: str = "--peak") -> float:
    from podium.errors import UsageError

    try:
        rate = float(text.removesuffix("/s"))
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 1e6:
        raise UsageError(f"{option} {text} is no rate above 0/s and at most 1,000,000/s", f"write {option} 400/s")
    return rate
