"""Which regions there are, how far apart, and where everything of them is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jobs.errors import ConfigFault
from jobs.languages import Language
from jobs.region import Delivery, Fleet, Neighbour, embedded, parse
from yurt.stack import distances, region_file
from yurt.stack.folder import Folder
from yurt.stack.layout import Wish, lay_out, left_aside

REGIONS = ("us-east", "eu-west", "ap-south")


def test_one_region_is_one_server_alone(tmp_path: Path) -> None:
    [layout] = lay_out(Wish(), Folder(tmp_path))
    assert layout.region == embedded("local")
    [server] = layout.servers
    assert (server.name, server.cluster_port, server.gateway_port) == ("local", None, None)


def test_several_regions_are_clusters_of_their_names_and_neighbours_of_each_other(tmp_path: Path) -> None:
    wish = Wish(regions=REGIONS, rtt=("us-east:eu-west=80ms", "ap-south:us-east=0.2s"))
    us_east, eu_west, ap_south = lay_out(wish, Folder(tmp_path))
    assert us_east.port < eu_west.port < ap_south.port
    assert us_east.region.cluster == "us-east"
    assert us_east.region.neighbours == (
        Neighbour(region="eu-west", rtt_ms=80.0, url=f"http://127.0.0.1:{eu_west.port}"),
        Neighbour(region="ap-south", rtt_ms=200.0, url=f"http://127.0.0.1:{ap_south.port}"),
    ), "nearest first"
    near = eu_west.region.neighbours[0]
    assert (near.region, near.rtt_ms) == ("ap-south", distances.NEAR_MS), "nobody set these two apart"
    assert parse(region_file.render(us_east.region)) == us_east.region


def test_replicas_are_servers_that_keep_their_names_ports_and_folders(tmp_path: Path) -> None:
    [layout] = lay_out(Wish(replicas=3), Folder(tmp_path))
    assert (layout.region.replicas, layout.region.cluster) == (3, "local")
    assert [server.name for server in layout.servers] == ["local-1", "local-2", "local-3"]
    assert len({server.store for server in layout.servers}) == 3


def test_files_describe_their_regions_and_the_others_have_the_defaults(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('region = "eu-west"\n[delivery]\nack_wait_s = 2\n[[neighbours]]\nregion = "us-east"\nrtt_ms = 7\n')
    us_east, eu_west = lay_out(Wish(regions=("us-east", "eu-west"), files=(mine,)), Folder(tmp_path / "data"))
    assert (us_east.region.delivery, eu_west.region.delivery.ack_wait_s) == (Delivery(), 2.0)
    assert eu_west.region.neighbours[0].rtt_ms == 7.0
    [alone] = lay_out(Wish(files=(mine,)), Folder(tmp_path / "data"))
    assert alone.region.name == "eu-west"


@pytest.mark.parametrize(
    ("regions", "files", "says"),
    [
        (("US East",), (), "'US East' is no name; use lower-case letters"),
        (("a", "b", "a"), (), "'a' is there twice"),
        (("a",), ("b",), "is the file of b, which is not among a; add it"),
        ((), ("a", "a"), "is a second file of a"),
    ],
)
def test_regions_that_cannot_be_are_told_with_the_cure(
    tmp_path: Path, regions: tuple[str, ...], files: tuple[str, ...], says: str
) -> None:
    written = []
    for at, name in enumerate(files):
        written.append(tmp_path / f"{at}.toml")
        written[-1].write_text(f'region = "{name}"\n')
    with pytest.raises(ConfigFault, match=says):
        lay_out(Wish(regions=regions, files=tuple(written)), Folder(tmp_path / "data"))


def test_a_region_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match=r"gone\.toml cannot be read"):
        lay_out(Wish(files=(tmp_path / "gone.toml",)), Folder(tmp_path))


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("us-east:eu-west=80", "write ONE:OTHER=80ms"),
        ("us-east=80ms", "write ONE:OTHER=80ms"),
        ("us-east:mars=80ms", "mars not among the regions us-east, eu-west, ap-south"),
        ("us-east:us-east=80ms", "not apart from itself"),
        ("us-east:eu-west=0ms", "more than 0 and at most 10s"),
        ("us-east:eu-west=11s", "more than 0 and at most 10s"),
    ],
)
def test_a_distance_that_is_none_is_told_with_the_cure(word: str, says: str) -> None:
    with pytest.raises(ConfigFault, match=says):
        distances.parse([word], REGIONS)


def test_all_faults_of_distances_are_told_at_once_and_one_pair_has_one_distance() -> None:
    with pytest.raises(ConfigFault, match=r"(?s)'x'.*this pair has a distance already"):
        distances.parse(["x", "us-east:eu-west=1ms", "eu-west:us-east=2ms"], REGIONS)


def test_a_distance_holds_both_ways() -> None:
    found = distances.parse(["us-east:eu-west=1.5s"], REGIONS)
    assert found.between("eu-west", "us-east") == found.between("us-east", "eu-west") == 1500
    assert found.between("us-east", "ap-south") is None
    assert not found.apart("ap-south")


def test_a_region_written_out_is_the_same_region_read_again() -> None:
    plain = embedded("local")
    fleets = (
        Fleet(name="a", languages=tuple(Language)[:2], minimum=1, maximum=3, job="runner-x"),
        Fleet(name="b", languages=tuple(Language)[2:]),
    )
    rich = replace(
        plain,
        gateways=("one", "two"),
        replicas=3,
        cluster="local",
        neighbours=(Neighbour(region="far", rtt_ms=80.5, url="https://far.example.org"), Neighbour(region="unknown")),
        delivery=Delivery(ack_wait_s=2.5, max_attempts=4, start_by_s=60.0),
        fleets=fleets,
    )
    for region in (plain, rich):
        assert parse(region_file.render(region)) == region


def test_a_network_that_lacks_most_of_its_servers_is_refused_before_anything_starts(tmp_path: Path) -> None:
    for name in REGIONS:
        (tmp_path / name / "jetstream-1").mkdir(parents=True)
    lay_out(Wish(regions=("us-east", "eu-west")), Folder(tmp_path))
    with pytest.raises(ConfigFault, match=r"were 4 together.*eu-west \(1\), us-east \(1\) would be missing"):
        lay_out(Wish(regions=("ap-south", "new")), Folder(tmp_path))


def test_a_server_keeps_its_port(tmp_path: Path) -> None:
    from yurt.stack.folder import Place, State

    folder = Folder(tmp_path)
    first = lay_out(Wish(replicas=3), folder)[0]
    place = Place(region="local", url=first.url, nats=first.nats[0], servers=first.nats)
    folder.write(State(places=(place,)))
    assert lay_out(Wish(replicas=3), folder)[0].nats == first.nats


def test_a_region_that_runs_another_way_than_before_says_where_its_old_queue_is_once(tmp_path: Path) -> None:
    (tmp_path / "a" / "jetstream").mkdir(parents=True)
    joined = lay_out(Wish(regions=("a", "b")), Folder(tmp_path))
    [words] = left_aside(joined)
    assert words.startswith("a runs in a cluster for the first time; what it kept before stays in jetstream of")
    joined[0].servers[0].store.mkdir()
    assert left_aside(joined) == []
    assert left_aside(lay_out(Wish(regions=("b",)), Folder(tmp_path))) == []
