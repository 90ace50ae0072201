"""The same job on many machines: one Ray task for each photo, on a cluster that is there already."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from deblurcli import __version__
from deblurcli.batch.jobs import Job
from deblurcli.batch.one_photo import Options, Outcome, restore_photo
from deblurcli.batch.pipeline import Stop, Watch
from deblurcli.batch.storage import is_remote
from deblurcli.errors import DeblurError, DeviceError, UsageError
from deblurcli.photo.photo import Photo
from deblurcli.restore import Deblurrer, Restoration, load

CORES = 4
"""Cores for one photo, where no GPU is used."""

RETRIES = 3
"""How often a photo is begun again whose machine or process was lost."""


class _Alone:
    """A deblurrer that nobody else waits for; see ``one_photo.Device``."""

    def __init__(self, deblurrer: Deblurrer) -> None:
        self._deblurrer = deblurrer

    def restore(self, photo: Photo, **how: Any) -> tuple[Deblurrer, Restoration]:
        return self._deblurrer, self._deblurrer.restore(photo, **how)


@cache
def _loaded(network: str | None, weights: str | None, backend: str, device: str, precision: str) -> _Alone:
    """Loaded once in each of the cluster's processes, which are used again and again."""
    return _Alone(load(network, weights, backend, device, precision))


def _restore(job: Job, options: Options, chosen: tuple[str | None, ...], version: str) -> Outcome:
    """What runs on the cluster."""
    row = {"input": str(job.source), "output": str(job.target)}
    try:
        if version != __version__:
            raise DeblurError(
                f"deblur {__version__} on the cluster is not {version} here", "Install the same everywhere."
            )
        return restore_photo(job, options, _loaded(*chosen))  # type: ignore[arg-type]
    except DeblurError as error:
        return Outcome(row | {"error": str(error)}, error.hint, error.exit_code)


def connect() -> None:
    """Joins the cluster that ``RAY_ADDRESS`` names, or the one this machine belongs to.

    Raises:
        DeviceError: there is none.
    """
    try:
        ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise DeviceError(
            f"there is no Ray cluster here ({error})", "Start one with 'ray start --head', or name it in RAY_ADDRESS."
        ) from error


def restore_on_cluster(
    jobs: list[Job],
    options: Options,
    *,
    network: str | None,
    weights: str | None,
    backend: str,
    device: str,
    precision: str,
    at_once: int | None,
    stop: Stop,
    watch: Watch,
) -> Iterator[tuple[Job, Outcome]]:
    """Restores photos on the cluster; see ``pipeline.restore_all``. Paths have to mean the same on all its machines.

    A photo whose process or machine is lost is begun again elsewhere, ``RETRIES`` times. An output that is there by
    then is its own: those of others were seen to before.

    Raises:
        DeviceError: there is no cluster, or it has no such device. UsageError: devices are the cluster's to choose.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device} does not go with a cluster, which chooses", "Use auto, cpu or cuda.")
    connect()
    resources = ray.cluster_resources()
    gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
    if device == "cuda" and not gpus:
        raise DeviceError("no device 'cuda': this cluster has no GPUs", "Use --device auto or --device cpu.")
    on_gpu = gpus > 0 and device != "cpu"
    smallest = min(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"])
    cores_each = 1 if on_gpu else max(1, min(CORES, smallest))
    slots = gpus if on_gpu else cores // cores_each
    task = ray.remote(num_gpus=int(on_gpu), num_cpus=cores_each, max_retries=RETRIES)(_restore)
    chosen = (network, weights, backend, "cuda" if on_gpu else "cpu", precision)
    options = replace(options, overwrite=True, maps_dir=options.maps_dir and options.maps_dir.absolute())

    waiting, running, finished = iter(jobs), dict[ray.ObjectRef, Job](), 0
    try:
        while True:
            # Some more than run at the same time, so that none waits for us.
            begun = [] if stop.soon.is_set() else list(islice(waiting, (at_once or 2 * slots) - len(running)))
            running |= {task.remote(_everywhere(job), options, chosen, __version__): job for job in begun}
            if not running:
                break
            done, _ = ray.wait(list(running), timeout=1)
            for reference in done:
                job = running.pop(reference)
                finished += 1
                yield job, _outcome(reference, job)
            watch(finished)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        ray.shutdown()


def _outcome(reference: ray.ObjectRef, job: Job) -> Outcome:
    here = {"input": str(job.source), "output": str(job.target)}
    try:
        outcome: Outcome = ray.get(reference)
    except RayError as error:
        what = " ".join(str(error).split())
        return Outcome(here | {"error": f"{job.source}: the cluster gave it up ({what})"}, "Try it by itself.", 1)
    return replace(outcome, row=outcome.row | here)


def _everywhere(job: Job) -> Job:
    """The job with paths that do not depend on where a process runs. What disk they are on differs by machine."""

    def absolute(path: Path) -> Path:
        return path if is_remote(path) else path.absolute()

    root = job.root and absolute(job.root)
    return replace(job, source=absolute(job.source), target=absolute(job.target), root=root, disk=0)
