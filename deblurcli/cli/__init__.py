"""The command line: click only. Everything heavy is imported inside the callbacks, so that ``--help`` is instant."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
import warnings
from pathlib import Path

import click
from click.shell_completion import CompletionItem
from click_default_group import DefaultGroup

from deblurcli import __version__
from deblurcli.batch import THREADS
from deblurcli.batch.jobs import exists
from deblurcli.cli.benchmark import benchmark
from deblurcli.cli.completion import completion
from deblurcli.cli.doctor import doctor
from deblurcli.cli.evaluate import evaluate
from deblurcli.cli.inspect import inspect
from deblurcli.cli.integrate import integrate
from deblurcli.cli.messages import report
from deblurcli.cli.preview import preview
from deblurcli.cli.restore import restore
from deblurcli.cli.streams import finish_output, prepare_streams
from deblurcli.cli.synthesize import synthesize
from deblurcli.cli.train import train
from deblurcli.cli.weights import weights
from deblurcli.errors import (
    INTERRUPTED,
    NOTHING_DONE,
    WRONG_USAGE,
    DeblurError,
    UsageError,
    did_you_mean,
    installs,
    unexpected,
)

# What not everybody has installed: as it is imported → the extra that it comes with.
EXTRAS = {
    "torch": "torch",
    "onnx": "export",
    "onnxscript": "export",
    "onnxruntime": "cpu",
    "ray": "cluster",
    "skimage": "metrics",
}
PATIENCE = 3.0  # seconds


class Group(DefaultGroup):
    """Commands, of which the default need not be named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Options of the default command, ``--`` among them, are not for the group's parser, which would swallow it."""
        own = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        if args and args[0].startswith("-") and args[0] not in own:
            args = [str(self.default_cmd_name), *args]
        if args and not ctx.resilient_parsing:
            self._refuse_mistyped(args[0])
        return super().parse_args(ctx, args)

    def _refuse_mistyped(self, name: str) -> None:
        """A command that is nearly right is not taken for a photo, or the others would be restored."""
        is_photo = name in self.commands or re.search(r"[./\\*?\[@:-]", name) or exists(Path(name))
        if not is_photo and (hint := did_you_mean(name, self.commands)):
            raise UsageError(f"there is no command '{name}', and no file or folder of that name", hint)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands, and what the default command would complete."""
        default = self.commands[str(self.default_cmd_name)]
        context = click.Context(default, parent=ctx, info_name=self.default_cmd_name)
        files = [] if incomplete.startswith("-") else [CompletionItem(incomplete, type="file")]  # first, for bash
        return [*files, *super().shell_complete(ctx, incomplete), *default.shell_complete(context, incomplete)]


@click.group(
    cls=Group,
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


for command in (
    restore,
    preview,
    inspect,
    weights,
    synthesize,
    train,
    evaluate,
    benchmark,
    doctor,
    integrate,
    completion,
):
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
    """Runs a command line and ends the process with the exit code of the contract (see ``deblurcli.errors``).

    Whatever goes wrong ends here, in a line that says so. With ``DEBLUR_TRACEBACK`` in the environment, what nobody
    thought of ends in Python's own traceback, for those who look for it.
    """
    prepare_streams()
    # What libraries log and warn of is for their makers: what matters to people becomes a warning or an error of ours.
    logging.getLogger().addHandler(logging.NullHandler())
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        code = cli.main(arguments, prog_name="deblur", standalone_mode=False)
        sys.stdout.flush()
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
        package = (error.name or str(error)).partition(".")[0]
        hint = installs(EXTRAS[package]) if package in EXTRAS else f"pip install {package}"
        report(f"this needs the Python package {package}, which is not installed", hint)
        code = NOTHING_DONE
    except BrokenPipeError:  # whoever read our output has gone
        code = NOTHING_DONE
    except Exception as error:
        if "DEBLUR_TRACEBACK" in os.environ:
            raise
        told = unexpected(error)
        report(str(told), told.hint)
        code = told.exit_code
    finish_output()
    sys.exit(code or 0)
