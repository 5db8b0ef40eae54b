"""A run whose networks are made on many workers: it then finds them in the cache."""

from __future__ import annotations

from mlbench.contracts import Progress
from mlbench.runs import pipeline
from mlbench.runs.pipeline import Finished
from mlbench.runs.plan import Plan
from mlbench.search.engine import open_engine
from mlbench.search.work import Job
from mlbench.training.baselines import Material

_LOOK = 5.0  # seconds


def run(plan: Plan, progress: Progress) -> list[Finished]:
    """Carry out a plan, on the workers that it asks for; see `mlbench.runs.pipeline.run`.

    Raises:
        UsageError: bad input, no worker can take steps, or no candidate could be made.
    """
    if not (plan.workers > 1 or plan.scheduler):
        return pipeline.run(plan, progress)
    material = plan.making.material(plan.making.used(), progress, networks=plan.networks)
    _make_all(plan, material, progress)
    return pipeline.run(plan, progress, material)


def _make_all(plan: Plan, material: Material, progress: Progress) -> None:
    """Make what a plan's chains leave, each shared step once; the run tells why what cannot be made cannot."""
    networks = {network.name: network for network in plan.networks}
    chains = ["none", *(str(chain) for chain in plan.chains)]
    jobs = [Job(network, chain) for network in networks for chain in dict.fromkeys(chains)]
    engine = open_engine(
        plan.making,
        networks,
        plan.measuring,
        workers=plan.workers,
        scheduler=plan.scheduler,
        progress=progress,
        material=material,
    )
    try:
        for job in jobs:
            engine.submit(job)
        made, left = list[Job](), len(jobs)
        with progress.task("Making", left, "chains") as advance:
            while left:
                for outcome in engine.finished(_LOOK):
                    left -= 1
                    advance(1, outcome.job.chain)
                    if not outcome.failure:
                        made.append(outcome.job)
        engine.bring(made)
    finally:
        engine.close()
