"""The same job on many machines: one Ray task for each photo, on a cluster that is there already."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from deblurcli import __version__
from deblurcli.batch.jobs import Job, check_existing
from deblurcli.batch.one_photo import Options, Outcome, named, restore_photo
from deblurcli.batch.pipeline import Stop, Watch
from deblurcli.batch.storage import is_remote
from deblurcli.errors import DeblurError, DeviceError, PhotoError, UsageError
from deblurcli.loading import load
from deblurcli.photo.photo import Photo
from deblurcli.restoration import Restoration
from deblurcli.restore import Deblurrer

CORES = 4
"""Cores for one photo, where no GPU is used."""

RETRIES = 4
"""How often a photo is begun again whose machine or process was lost."""


class _Alone:
    """A deblurrer that nobody else waits for; see ``one_photo.Device``."""

    def __init__(self, deblurrer: Deblurrer) -> None:
        self._deblurrer = deblurrer

    def restore(self, photo: Photo, **how: Any) -> tuple[Deblurrer, Restoration]:
        return self._deblurrer, self._deblurrer.restore(photo, **how)


@cache
def _loaded(**chosen: Any) -> _Alone:
    """Loaded once in each of the cluster's processes, which are used again and again."""
    return _Alone(load(**chosen))


def _restore(job: Job, options: Options, chosen: dict[str, Any], version: str) -> Outcome:
    """What runs on the cluster."""
    try:
        if version != __version__:
            raise DeblurError(
                f"deblur {__version__} on the cluster is not {version} here", "Install the same version everywhere."
            )
        return restore_photo(job, options, _loaded(**chosen))
    except DeblurError as error:
        return _failed(job, error)


def connect() -> None:
    """Joins the cluster that ``RAY_ADDRESS`` names, or the one this machine belongs to.

    Raises:
        DeviceError: there is none.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # or it would report what it is used for
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
    device: str,
    at_once: int | None,
    stop: Stop,
    watch: Watch,
    **chosen: Any,
) -> Iterator[tuple[Job, Outcome]]:
    """Restores photos on the cluster; see ``pipeline.restore_all``. Paths have to mean the same on all its machines.

    A photo whose process or machine is lost is begun again elsewhere, ``RETRIES`` times. An output that is there by
    then is its own: those of others were seen to before. ``chosen`` is for ``restore.load``.

    Raises:
        DeviceError: there is no cluster, or it has no such device. UsageError: devices are the cluster's to choose.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(
            f"--device {device} cannot be used with a cluster, which picks its own devices", "Use auto, cpu or cuda."
        )
    again = replace(options, overwrite=True, maps_dir=options.maps_dir and options.maps_dir.absolute())
    with redirect_stdout(sys.stderr):  # Ray prints what it thinks of workers that are lost
        connect()
        task, slots, device = _task(device)
        waiting, running, finished = iter(jobs), dict[ray.ObjectRef, Job](), 0
        chosen["device"] = device
        try:
            while True:
                # Some more than run at the same time, so that none waits for us.
                begun = [] if stop.soon.is_set() else list(islice(waiting, (at_once or 2 * slots) - len(running)))
                for job in begun:
                    try:
                        check_existing(job, options.overwrite)
                        running[task.remote(_everywhere(job), again, chosen, __version__)] = job
                    except PhotoError as error:
                        finished += 1
                        yield job, _failed(job, error)
                if not begun and not running:
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


def _task(device: str) -> tuple[Any, int, str]:
    """What runs on the cluster, with what it needs; how many of it at the same time; on what kind of device.

    Raises:
        DeviceError: the cluster has none.
    """
    resources = ray.cluster_resources()
    gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
    if device == "cuda" and not gpus:
        raise DeviceError("no device 'cuda': this cluster has no GPUs", "Use --device auto or --device cpu.")
    if gpus and device != "cpu":
        return ray.remote(num_gpus=1, num_cpus=1, max_retries=RETRIES)(_restore), gpus, "cuda"
    smallest = min(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"])
    each = max(1, min(CORES, smallest))
    return ray.remote(num_cpus=each, max_retries=RETRIES)(_restore), cores // each, "cpu"


def _outcome(reference: ray.ObjectRef, job: Job) -> Outcome:
    try:
        outcome: Outcome = ray.get(reference)
    except RayError as error:
        what = " ".join(str(error).split())
        return _failed(job, PhotoError(job.source, f"the cluster gave up on it ({what})", "Try this photo on its own."))
    return replace(outcome, row=outcome.row | named(job))


def _failed(job: Job, error: DeblurError) -> Outcome:
    return Outcome(named(job) | {"error": str(error)}, error.hint, error.exit_code)


def _everywhere(job: Job) -> Job:
    """The job with paths that do not depend on where a process runs. What disk they are on differs by machine."""

    def absolute(path: Path) -> Path:
        return path if is_remote(path) else path.absolute()

    root = job.root and absolute(job.root)
    return replace(job, source=absolute(job.source), target=absolute(job.target), root=root, disk=0)
