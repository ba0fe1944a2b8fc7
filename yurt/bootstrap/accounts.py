"""The accounts of a NATS configuration: who its users are, by public key, and what each may do (``jobs.roles``).

Everything of Yurt's is in one account, so that subjects and JetStream cross regions; the system account beside it is
for a person with the ``nats`` command. A region's servers know the users of its neighbours too, as *guests* with the
rights they have at home: whose own servers are away can go on here. While a role changes its key, both are good.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from jobs.roles import Permissions, Role, permissions

ACCOUNT = "YURT"
SYSTEM_ACCOUNT = "SYS"
SYSTEM = "system"  #: the one key that is no role's
#: who may come from another region; streams are changed at home only
GUESTS = (Role.GATEWAY, Role.RUNNER, Role.AUTOSCALER, Role.SUBSCRIBER)
ANSWER_WITHIN = "30s"


@dataclass(frozen=True, kw_only=True)
class PublicKeys:
    """The public keys of one region's roles: no secret, and all that another region needs of it."""

    region: str
    keys: Mapping[str, str]  #: role (or ``system``) to its public NKey, ``U…``
    before: Mapping[str, str] = field(default_factory=dict)  #: what a role had before, good until its processes change

    def of(self, role: str) -> list[str]:
        """All that are good for it, the present one first."""
        return list(dict.fromkeys(keys[role] for keys in (self.keys, self.before) if role in keys))


def render(home: PublicKeys, others: Iterable[str] = (), guests: Iterable[PublicKeys] = ()) -> str:
    """The accounts block of *home*'s servers; *others* are the regions that it knows beside its guests'."""
    guests = [guest for guest in guests if guest.region != home.region]
    regions = sorted({home.region, *others, *(guest.region for guest in guests)})
    users = [*_users(home, tuple(Role), regions)]
    for guest in sorted(guests, key=lambda each: each.region):
        users += _users(guest, GUESTS, regions)
    system = ", ".join(f"{{ nkey: {json.dumps(key)} }}" for key in home.of(SYSTEM))
    return (
        "accounts {\n"
        f"  {SYSTEM_ACCOUNT} {{ users: [{system}] }}\n"
        f"  {ACCOUNT} {{\n    jetstream: enabled\n    users: [\n{''.join(users)}    ]\n  }}\n"
        "}\n"
        f"system_account: {SYSTEM_ACCOUNT}\n"
    )


def _users(of: PublicKeys, roles: Iterable[Role], regions: Iterable[str]) -> Iterator[str]:
    for role in roles:
        for key in of.of(role):
            yield f"      # {role} of {of.region}\n" + _user(key, permissions(role, of.region, regions))


def _user(key: str, may: Permissions) -> str:
    answers = f'\n        allow_responses: {{ max: 1, expires: "{ANSWER_WITHIN}" }}' if may.answers else ""
    return (
        f"      {{ nkey: {json.dumps(key)}, permissions: {{\n"
        f"        publish: {{ allow: [\n{_lines(may.publish)}        ] }}\n"
        f"        subscribe: {{ allow: [\n{_lines(may.subscribe)}        ] }}{answers}\n"
        "      } }\n"
    )


def _lines(subjects: Iterable[str]) -> str:
    return "".join(f"          {json.dumps(subject)}\n" for subject in subjects)
