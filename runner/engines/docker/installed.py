"""Languages as images hold them: found by their labels, and planned for by the same modules as on a host.

An image of a language was prepared when it was built (``images/``): its label ``yurt.installation`` is the language's
``Installation``, with paths as they are in the image. Few files of what was prepared are read by plans, on the runner's
side; they lie in the image's ``PLANS`` folder and are brought out once an image, under the runner's cache.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import ConfigFault
from jobs.languages import Language
from jobs.submission import Submission
from runner.engines.docker.inside import files
from runner.engines.docker.labels import HERE, INSIDE, LABEL, PLANS, Image
from runner.languages.contract import Artifact, Boot, Build, Installation, Probe, Report, Run, Sources, Support

if TYPE_CHECKING:  # its library is loaded only where a daemon is asked
    from runner.engines.docker.door import Daemon

Prepare = Callable[[Support, Installation, Report], Installation]


def from_image(image: Image) -> Installation:
    """What the image holds; ``ConfigFault`` where it is not of this version."""
    if image.labels.get(INSIDE) != files.digest():
        raise ConfigFault(
            f"image {image.name} was built by another version of this program; build it anew: make images"
        )
    try:
        plain = json.loads(image.labels[LABEL])
        return Installation(
            language=Language(plain["language"]),
            version=plain["version"],
            variant=plain["variant"],
            path=plain["path"],
            compile_flags=tuple(plain["compile_flags"]),
            allowed_flags=tuple(plain["allowed_flags"]),
            details={**plain["details"], "image": image.id},
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ConfigFault(f"image {image.name} has no {LABEL} label that can be read: {error}") from error


async def look(daemon: Daemon) -> tuple[dict[Language, list[Installation]], list[str]]:
    """What the daemon's images hold, and why others of ours cannot be used."""
    found: dict[Language, list[Installation]] = {}
    faults: list[str] = []
    seen: set[str] = set()
    for image in await daemon.images(LABEL):
        try:
            installation = from_image(image)
        except ConfigFault as fault:
            faults.append(str(fault))
            continue
        if installation.name not in seen:
            seen.add(installation.name)
            found.setdefault(installation.language, []).append(installation)
    return found, faults


async def plans(daemon: Daemon, installation: Installation, cache: Path) -> Installation:
    """The installation with its plans' files at hand, brought out of the image unless they were before."""
    if not any(HERE in value for value in installation.details.values()):
        return installation
    folder = cache / f"{installation.name}-image-{installation.details['image'].removeprefix('sha256:')[:16]}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (await daemon.files(installation.details["image"], PLANS)).items():
            (folder / name).write_bytes(content)
        (folder / "complete").touch()
    details = {name: value.replace(HERE, str(folder)) for name, value in installation.details.items()}
    return replace(installation, details=details)


class FromImages:
    """A language whose installations are images; its plans are those of the language's own module."""

    def __init__(self, support: Support, installations: Sequence[Installation], prepare: Prepare | None = None) -> None:
        self._support, self._installations, self._prepare = support, installations, prepare
        self.language = support.language

    def discover(self) -> Sequence[Installation]:
        return self._installations

    def prepare(self, installation: Installation, cache: Path, report: Report) -> Installation:
        """It was prepared when the image was built; the engine may have more to do."""
        return self._prepare(self._support, installation, report) if self._prepare else installation

    def boots(self, installation: Installation) -> Sequence[Boot]:
        return self._support.boots(installation)

    def sources(self, submission: Submission) -> Sources:
        return self._support.sources(submission)

    def build(self, installation: Installation, sources: Sources, flags: tuple[str, ...] | None) -> Build | None:
        return self._support.build(installation, sources, flags)

    def run(
        self,
        installation: Installation,
        sources: Sources,
        artifact: Artifact,
        args: tuple[str, ...],
        submission: Submission,
    ) -> Run:
        return self._support.run(installation, sources, artifact, args, submission)

    def gave_up_for_memory(self, exit_code: int | None, signal: str | None, stderr_tail: bytes) -> bool:
        return self._support.gave_up_for_memory(exit_code, signal, stderr_tail)

    def probes(self, installation: Installation) -> Sequence[Probe]:
        return self._support.probes(installation)
