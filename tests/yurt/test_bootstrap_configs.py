"""Configurations of NATS servers, each form held against the real server's own check."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import ConfigFault
from jobs.region import parse
from tests.yurt.servers import says_of
from yurt.bootstrap import accounts
from yurt.bootstrap.accounts import PublicKeys
from yurt.bootstrap.authority import Usage, authority, issue
from yurt.bootstrap.keys import Servers, make
from yurt.bootstrap.nats_config import ServerPlan, TlsFiles, render

ALONE = ServerPlan(name="local", port=14222, store_dir=Path("/tmp/js"))
CLUSTERED = replace(
    ALONE,
    name="use1-n1",
    cluster="us-east",
    cluster_port=16222,
    routes=("nats://n1:6222", "nats://n2:6222", "nats://n3:6222"),
    sync_always=True,
    tags=("region:us-east", "az:use1-az1"),
    unique_tag="az:",
    client_advertise="n1.example.org:4222",
    cluster_advertise="n1:6222",
    monitor_port=18222,
    max_memory_bytes=1 << 30,
    max_file_bytes=200 << 30,
)
JOINED = replace(
    CLUSTERED,
    host="0.0.0.0",
    monitor_host="0.0.0.0",
    gateway_port=17222,
    gateway_advertise="n1.example.org:7222",
    gateways={"us-east": ("nats://n1:7222",), "eu-west": ("nats://n4:7222", "nats://n5:7222")},
)
IPV6 = replace(JOINED, host="::1", monitor_host="::1", routes=())
FORMS = {"alone": ALONE, "clustered": CLUSTERED, "joined": JOINED, "ipv6": IPV6}
KEYS = PublicKeys(region="us-east", keys={"gateway": "U" + "A" * 55})


def check(tmp_path: Path, text: str) -> None:
    config = tmp_path / "nats.conf"
    config.write_text(text)
    code, said = says_of(config)
    assert code == 0, said + text


@pytest.mark.parametrize("form", FORMS)
def test_the_server_takes_each_form(tmp_path: Path, form: str) -> None:
    """Alone, in a cluster, in a supercluster."""
    check(tmp_path, render(FORMS[form]))


@pytest.mark.parametrize("form", FORMS)
def test_the_server_takes_each_form_with_certificates(tmp_path: Path, form: str) -> None:
    """For clients, routes, gateways and the monitor."""
    ca = authority(tmp_path / "authority")
    files = issue(ca, tmp_path, "n1", hosts=["n1"], usage=Usage.BOTH)
    text = render(replace(FORMS[form], tls=TlsFiles(certificate=files.cert, key=files.key, authority=files.ca)))
    check(tmp_path, text)
    mutual = text.count("verify: true")
    assert mutual == {"alone": 0, "clustered": 1}.get(form, 2)
    assert ("https:" in text) == (FORMS[form].monitor_host == "0.0.0.0")


def test_the_server_takes_the_accounts_of_regions_and_guests(tmp_path: Path) -> None:
    """As whole configurations, made for two regions that know each other."""
    servers = Servers(hosts={"n1": "127.0.0.1", "n2": "localhost"}, remote={"eu-west": ("n3", "n4:7000")})
    text = 'region = "us-east"\ncluster = "us-east"\n[[neighbours]]\nregion = "eu-west"\n'
    make(tmp_path, parse('region = "eu-west"'), Servers(hosts={"n3": "n3"}))
    made = make(tmp_path, parse(text), servers)
    assert made.guests == ("eu-west",)
    for config in made.configs.values():
        assert says_of(config)[0] == 0, says_of(config)
        assert "nats://n4:7000" in config.read_text()


def test_text_in_a_plan_is_never_read_as_configuration(tmp_path: Path) -> None:
    """Quotes, dollars and braces of a path stay a path's."""
    odd = tmp_path / 'a "quoted" $PATH {folder}'
    check(tmp_path, render(replace(ALONE, store_dir=odd)))


def test_a_server_in_a_cluster_of_one_has_a_route_to_itself() -> None:
    """Without any route JetStream refuses to start in a cluster."""
    assert 'routes: ["nats://127.0.0.1:16222"]' in render(replace(JOINED, routes=()))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"cluster": ""}, "no cluster"),
        ({"cluster_port": None}, "no cluster port"),
        ({"gateway_port": None}, "no gateway port"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(changes: dict[str, Any], word: str) -> None:
    """One line that names the server and what it lacks."""
    with pytest.raises(ConfigFault, match=word):
        render(replace(JOINED, **changes))


def test_a_guest_s_admin_is_no_user_here() -> None:
    """Streams are changed at home only."""
    guest = PublicKeys(region="eu-west", keys={"admin": "U" + "B" * 55, "runner": "U" + "C" * 55})
    text = accounts.render(KEYS, guests=[guest])
    assert guest.keys["runner"] in text and guest.keys["admin"] not in text
