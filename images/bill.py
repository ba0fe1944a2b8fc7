"""The bill of materials of an image, as SPDX 2.3: each package that is in it, by name, version and place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import layers
from pins import Pin
from recipes import Recipe


def write(recipe: Recipe, pins: Iterable[Pin], python: Iterable[tuple[str, str]], identity: str) -> str:
    """*pins* of Debian's packages, name and version of *python*'s, the image's *identity*."""
    entries = [_of_debian(pin) for pin in pins if not pin.toolchain and pin.name not in recipe.without]
    entries += [_of_python(name, version) for name, version in python]
    image = {"SPDXID": "SPDXRef-image", "name": recipe.name, "versionInfo": identity, **_UNLOOKED}
    bill = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": recipe.name,
        "documentNamespace": f"https://yurt.invalid/images/{recipe.name}/{identity.removeprefix('sha256:')}",
        "creationInfo": {"created": layers.CREATED, "creators": ["Tool: yurt-make-images"]},
        "packages": [image, *entries],
        "relationships": [
            _related("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image"),
            *(_related("SPDXRef-image", "CONTAINS", each["SPDXID"]) for each in entries),
        ],
    }
    return json.dumps(bill, indent=1, sort_keys=True)


#: packages are named; what files they brought is not told
_UNLOOKED = {"downloadLocation": "NOASSERTION", "filesAnalyzed": False}


def _of_debian(pin: Pin) -> dict[str, object]:
    place = f"pkg:deb/debian/{pin.name}@{pin.version}?arch={pin.architecture}"
    return {
        **_named("deb", pin.name, pin.version, place),
        "checksums": [{"algorithm": "SHA256", "checksumValue": pin.sha256}],
    }


def _of_python(name: str, version: str) -> dict[str, object]:
    return _named("pypi", name, version, f"pkg:pypi/{name.lower().replace('_', '-')}@{version}")


def _named(kind: str, name: str, version: str, place: str) -> dict[str, object]:
    letters = re.sub(r"[^A-Za-z0-9.-]", "-", name.replace("+", "-plus"))
    reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": place}
    return {
        "SPDXID": f"SPDXRef-{kind}-{letters}",
        "name": name,
        "versionInfo": version,
        **_UNLOOKED,
        "externalRefs": [reference],
    }


def _related(one: str, how: str, other: object) -> dict[str, object]:
    return {"spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other}
