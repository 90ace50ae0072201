"""What there is for each program: files made of templates, where they go, and what is left to do by hand."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PureWindowsPath

MARK = "Made by 'deblur integrate'"
LINUX, MACOS, WINDOWS = "Linux", "macOS", "Windows"
UNTRIED = "not tried by us yet"
EXPORT_ACTIONS = "Adobe/Lightroom/Export Actions/deblur"
SCRIPT = "Remove defocus blur"


def _shell(command: list[str]) -> str:
    return shlex.join(command)


def _batch(command: list[str]) -> str:
    """For cmd.exe. Paths of Windows hold no quotes."""
    return " ".join(f'"{word}"' if word[:1] != "-" else word for word in command).replace("%", "%%")


def _desktop(command: list[str]) -> str:
    """For Exec lines: quoted as the Desktop Entry Specification says, then escaped as all its strings."""
    words = []
    for word in command:
        for special in ("\\", '"', "`", "$"):
            word = word.replace(special, "\\" + special)
        words.append('"' + word.replace("%", "%%") + '"')
    return " ".join(words).replace("\\", "\\\\")


def _lua(command: list[str]) -> str:
    """A string of Lua that holds a command for the shell."""
    return '"' + shlex.join(command).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _registry(command: list[str]) -> str:
    """A string of a .reg file that holds a command for one file."""
    return '"' + f'"{command[0]}" "%1"'.replace("\\", "\\\\").replace('"', '\\"') + '"'


QUOTES: dict[str, Callable[[list[str]], str]] = {
    "edit.sh": _shell,
    "edit.cmd": _batch,
    "deblur.desktop": _desktop,
    "deblur.lua": _lua,
    "deblur.reg": _registry,
}


@dataclass(frozen=True)
class Offer:
    """What there is for a program.

    Attributes:
        title: the program. systems: where it runs.
        templates: name of a template, and where its file goes: a folder of ``_places`` in braces, and a path below it.
            ``edit`` is the script of the system. The first one is what others start.
        steps: what is left to do; ``{first}`` and ``{last}`` are the first and the last file.
        tried: what of it was run, where and how; ``UNTRIED`` if nothing was.
    """

    title: str
    systems: tuple[str, ...]
    steps: str
    templates: tuple[tuple[str, str], ...] = ()
    tried: str = UNTRIED

    @property
    def system(self) -> str:
        """The system it is made for: this one, if it runs here."""
        here = this_system()
        return here if here in self.systems else self.systems[0]

    def paths(self, home: Path) -> list[Path]:
        """Where its files go, for the user with this home folder."""
        return [Path(place.format(**_places(self.system, home))) for _, place in self.templates]

    def contents(self, home: Path, program: list[str]) -> list[bytes]:
        """What is in them. ``program`` is what starts deblur, as words."""
        paths = self.paths(home)
        return [
            _filled(name.replace("edit", script(self.system)), program, paths[0], self.system)
            for name, _ in self.templates
        ]

    def todo(self, home: Path) -> str:
        """The steps, with paths."""
        paths = [str(path) for path in self.paths(home)] or [""]
        return self.steps.format(first=paths[0], last=paths[-1], quoted=shlex.quote(paths[0]))


def _filled(name: str, program: list[str], first: Path, system: str) -> bytes:
    text = (files("deblurcli.integrations") / "templates" / name).read_text(encoding="utf-8")
    starts = [str(PureWindowsPath(first) if system == WINDOWS else first)]
    for field, command in {"@DEBLUR@": program, "@EDIT@": starts, "@COMMAND@": starts}.items():
        text = text.replace(field, QUOTES[name](command))
    if system != WINDOWS:
        return text.encode()
    # What regedit and cmd.exe read: registry files are UTF-16.
    return text.replace("\n", "\r\n").encode("utf-16" if name.endswith(".reg") else "utf-8")


def script(system: str) -> str:
    """The template of what programs start."""
    return "edit.cmd" if system == WINDOWS else "edit.sh"


def _places(system: str, home: Path) -> dict[str, str | Path]:
    """Where programs look, and how what they start has to be called."""
    if system == WINDOWS:
        roaming = os.environ.get("APPDATA") or home / "AppData/Roaming"
        local = os.environ.get("LOCALAPPDATA") or home / "AppData/Local"
        return {"data": local, "config": local, "lightroom": Path(roaming) / EXPORT_ACTIONS, "suffix": ".cmd"}
    if system == MACOS:
        support = home / "Library/Application Support"
        return {"data": support, "config": home / ".config", "lightroom": support / "deblur/edit", "suffix": ".command"}
    data = os.environ.get("XDG_DATA_HOME") or home / ".local/share"
    return {"data": data, "config": os.environ.get("XDG_CONFIG_HOME") or home / ".config", "suffix": ".sh"}


def this_system() -> str:
    """What runs here."""
    return {"win32": WINDOWS, "darwin": MACOS}.get(sys.platform, LINUX)


def this_program() -> list[str]:
    """What starts the deblur that runs now, as words."""
    script = Path(sys.executable).with_name("deblur.exe" if this_system() == WINDOWS else "deblur")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "deblurcli"]


OFFERS = {
    "darktable": Offer(
        "darktable",
        (LINUX, MACOS),
        "Add this line to 'luarc' in darktable's configuration folder and start darktable again:\n"
        '    require "deblur"\n'
        "Then export: target storage 'deblur', file format TIFF, 16 bit. The result appears beside the original and in "
        "the library.",
        (("deblur.lua", "{config}/darktable/lua/deblur.lua"),),
        "in darktable 4.2.1 on Linux, by a script: it exported a photo, the target restored and imported it, and "
        "showed an error; the export button was not pressed",
    ),
    "digikam": Offer(
        "digiKam, and 'Open With' of other programs",
        (LINUX,),
        "Right-click photos in digiKam: 'Open With', 'Remove defocus blur (deblur)'. The results appear beside them.",
        (("edit", "{data}/deblur/edit{suffix}"), ("deblur.desktop", "{data}/applications/deblur.desktop")),
        "the menu entry on Linux, started as desktops do (gio launch); digiKam itself not yet",
    ),
    "gimp": Offer(
        "GIMP",
        (LINUX, MACOS, WINDOWS),
        "There is no plug-in yet. Restore the photo first, and open the result in GIMP:\n"
        "    deblur photo.jpg -o sharp.tif --depth 16\n"
        "    gimp sharp.tif\n"
        "To have both and paint the one into the other: 'File', 'Open as Layers'.",
        tried="GIMP 2.10.34 on Linux, without its window, opens such a file with 16 bits per channel",
    ),
    "lightroom": Offer(
        "Lightroom Classic",
        (MACOS, WINDOWS),
        "On macOS, first in Automator: new Application; add 'Run Shell Script' with 'Pass input: as arguments' and the "
        'line\n    exec {quoted} "$@"\n'
        "Save it as 'deblur' in ~/Library/Application Support/Adobe/Lightroom/Export Actions.\n"
        "In Lightroom: 'File', 'Export', format TIFF, 16 bits, compression None or ZIP; under 'Post-Processing', "
        "'After Export', choose 'deblur'.\n"
        "The results appear beside the exported files. 'Synchronize Folder' brings them into the catalog.",
        (("edit", "{lightroom}{suffix}"),),
    ),
    "nautilus": Offer(
        "Nautilus, the file manager of GNOME",
        (LINUX,),
        f"Right-click photos: 'Scripts', '{SCRIPT}'. The results appear beside them.",
        (("edit", f"{{data}}/nautilus/scripts/{SCRIPT}"),),
        "the script on Linux, with what Nautilus passes to it; Nautilus itself not yet",
    ),
    "finder": Offer(
        "Finder",
        (MACOS,),
        "In Automator: new Quick Action; 'Workflow receives current: image files in Finder'; add 'Run Shell Script' "
        "with 'Pass input: as arguments', and this line:\n"
        '    exec {quoted} "$@"\n'
        f"Save it as '{SCRIPT}'. Then right-click photos: 'Quick Actions'. The results appear beside them.",
        (("edit", "{data}/deblur/edit{suffix}"),),
    ),
    "explorer": Offer(
        "Explorer",
        (WINDOWS,),
        "Double-click {last} and say yes. Then right-click a photo: 'Remove defocus blur' (under 'Show more options' "
        "in Windows 11). The result appears beside it.",
        (("edit", "{data}/deblur/edit{suffix}"), ("deblur.reg", "{data}/deblur/deblur.reg")),
    ),
}
