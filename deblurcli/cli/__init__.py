"""The command line: click only. Everything heavy is imported inside the callbacks, so that ``--help`` is instant."""

from __future__ import annotations

import os
import sys
import threading
import time

import click
from click_default_group import DefaultGroup

from deblurcli import __version__
from deblurcli.batch import THREADS
from deblurcli.cli.benchmark import benchmark
from deblurcli.cli.doctor import doctor
from deblurcli.cli.evaluate import evaluate
from deblurcli.cli.inspect import inspect
from deblurcli.cli.messages import report
from deblurcli.cli.restore import restore
from deblurcli.cli.synthesize import synthesize
from deblurcli.cli.train import train
from deblurcli.cli.weights import weights
from deblurcli.errors import INTERRUPTED, NOTHING_DONE, WRONG_USAGE, DeblurError

# What not everybody has installed: as it is imported → as it is called.
PACKAGES = {name: name for name in ("torch", "onnx", "onnxscript", "ray")}
PACKAGES |= {"skimage": "scikit-image", "upath": "universal-pathlib"}
PATIENCE = 3.0  # seconds


@click.group(
    cls=DefaultGroup,
    default="restore",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="'deblur restore --help' lists the options of the main job, 'deblur COMMAND --help' those of the others.",
)
@click.version_option(__version__, "--version", prog_name="deblur")
def cli() -> None:
    """Removes defocus blur from photos.

    \b
    deblur photo.jpg -o sharp.png           one photo
    deblur photo.tif -o sharp.tif           16 bit stay 16 bit, EXIF and colour profile are kept
    deblur shots/ -o sharp/ --recursive     a folder with all below it
    deblur photo.jpg -o soft.jpg --amount 0.5
    """


for command in (restore, inspect, weights, synthesize, train, evaluate, benchmark, doctor):
    cli.add_command(command)


def _leave_threads(code: int) -> None:
    """Ends the process without waiting for photos that were given up: computing a tile cannot be cut short.

    They get a moment, in which all but that comes to an end: what is being written is removed.
    """
    deadline = time.monotonic() + PATIENCE
    ours = [thread for thread in threading.enumerate() if thread.name.startswith(THREADS)]
    while any(thread.is_alive() for thread in ours) and time.monotonic() < deadline:
        time.sleep(0.05)
    if any(thread.is_alive() for thread in ours):
        sys.stdout.flush()
        os._exit(code)


def main(arguments: list[str] | None = None) -> None:
    """Runs a command line and ends the process with the exit code of the contract (see ``deblurcli.errors``)."""
    try:
        code = cli.main(arguments, prog_name="deblur", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        code = WRONG_USAGE
    except click.ClickException as error:
        error.show()
        code = NOTHING_DONE
    except (KeyboardInterrupt, click.Abort):
        report("interrupted", "Nothing half-written was left behind.")
        code = INTERRUPTED
        _leave_threads(code)
    except DeblurError as error:
        report(str(error), error.hint)
        code = error.exit_code
    except ModuleNotFoundError as error:
        package = PACKAGES.get(error.name or "")
        if package is None:
            raise
        report(f"this needs the Python package {package}, which is not installed", f"pip install {package}")
        code = NOTHING_DONE
    except BrokenPipeError:
        # Whoever read our output has gone; do not complain again when Python flushes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = NOTHING_DONE
    sys.exit(code or 0)
