"""Which version is served: the newest whole one in a folder that may be written to at any time."""

import sys
import time

from deeplab.errors import UserError
from deeplab.files import manifest
from deeplab.inference import export_folder

_RETRY_SECS = 60.0  # a version that cannot be loaded is tried again after so long, or when its files change
_LOOK_SECS = 0.2  # between two looks at the start, while files are still changing
_START_SECS = 10.0  # how long a start waits for files that keep changing
_CHANGING = "its files are still changing"


class Versions:
    """Finds and loads versions.

    A version whose model.json records its files is taken when they are there in the recorded sizes; `exports.load`
    compares their hashes, too. Another one is taken when no file of it has changed for two seconds.

    Args:
      folder: what the user named, for messages.
      find: function () -> the versions there are now, the newest first, such as `export_folder.candidates` of a folder.
      load: function (path, number) -> what is served.
    """

    def __init__(self, folder, find, load):
        self._folder, self._find, self._load = folder, find, load
        self._quiet = manifest.Quiet()
        self._failed = {}  # {Version that could not be loaded: when}
        self._served = None
        self._told = set()  # paths of versions that were passed over, of which stderr tells once

    def first(self):
        """Returns what the newest version that can be loaded gives; says on stderr why newer ones are passed over.

        Raises:
          UserError: there is no version to serve; the message says what the newest one lacks.
        """
        end = time.monotonic() + _START_SECS
        while True:
            problems = {}
            for version in self._find():
                problem = self._problem(version.path)
                if not problem:
                    try:
                        result = self._loaded(version)
                    except UserError as error:
                        problem = str(error)
                    else:
                        self._tell(problems)
                        return result
                problems[version.path] = problem
            if _CHANGING not in problems.values() or time.monotonic() > end:
                raise self._nothing(problems)
            time.sleep(_LOOK_SECS)

    def newer(self):
        """Returns what a version gives that has to replace the served one; None if there is no such version.

        Raises:
          Exception: there is one, but it cannot be loaded. It is tried again later.
        """
        for version in self._find():
            stamped = version._replace(stamp=manifest.stamp(version.path))
            if stamped == self._served:
                return None
            problem = self._problem(version.path)
            if problem and version.number == self._served.number:
                return None  # it is being written over: what is in memory is served until it is whole again
            if problem:
                self._tell({version.path: problem})
            elif time.monotonic() - self._failed.get(stamped, -_RETRY_SECS) >= _RETRY_SECS:
                try:
                    return self._loaded(version)
                except Exception:
                    self._failed = {stamped: time.monotonic()}
                    raise
        return None

    def _problem(self, path):
        """Returns in words why the version in the folder `path` is not to be loaded now, or ""."""
        problem = export_folder.lacks(path)
        if problem:
            return problem
        recorded = export_folder.recorded_files(path) is not None
        return "" if recorded or self._quiet.is_quiet(path) else _CHANGING

    def _loaded(self, version):
        """Loads a version. Its stamp is taken before, so that a change while it is loaded is noticed later."""
        stamped = version._replace(stamp=manifest.stamp(version.path))
        result = self._load(version.path, version.number)
        self._served = stamped
        return result

    def _tell(self, problems):
        for path, problem in problems.items():
            if path not in self._told and problem != _CHANGING:
                print(
                    f"warning: new version not loaded, the old one stays: {path}: {problem}",
                    file=sys.stderr,
                    flush=True,
                )
                self._told.add(path)

    def _nothing(self, problems):
        """Returns the UserError of a start without a version, {path: problem} of those that were found."""
        for path, problem in problems.items():
            where = "" if problem.startswith(path) else f"{path} is not whole: "
            return UserError(f"--saved_model={self._folder}: {where}{problem}")
        return export_folder.no_version(self._folder)
