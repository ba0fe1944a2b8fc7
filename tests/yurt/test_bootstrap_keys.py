"""The secrets of a region: made once, kept, nobody else's; and what is made of them."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from jobs.errors import ConfigFault
from jobs.region import embedded
from jobs.roles import Role
from jobs.service.access import Access, public_key
from yurt.bootstrap.keys import PUBLIC, Servers, make, read_guests
from yurt.commands import bootstrap

ONE = Servers(hosts={"one": "127.0.0.1"})


def typed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bootstrap.add_arguments(parser)
    return parser.parse_args(words)


def test_seeds_are_made_once_and_are_their_owner_s_alone(tmp_path: Path) -> None:
    """A second run keeps them, and takes back rights that somebody gave away."""
    first = make(tmp_path, embedded("east"), ONE)
    assert set(first.made) == {*Role, "system"}
    before = {role: seed.read_bytes() for role, seed in first.seeds.items()}
    first.seeds["gateway"].chmod(0o644)
    second = make(tmp_path, embedded("east"), ONE)
    assert second.made == ()
    assert {role: seed.read_bytes() for role, seed in second.seeds.items()} == before
    assert {seed.stat().st_mode & 0o777 for seed in second.seeds.values()} == {0o600}
    assert len({public_key(seed) for seed in second.seeds.values()}) == len(before)


def test_no_secret_is_in_what_is_handed_on(tmp_path: Path) -> None:
    """Not in the public keys, not in the accounts, not in a configuration."""
    made = make(tmp_path, embedded("east"), ONE)
    secrets = [seed.read_text().strip() for seed in made.seeds.values()]
    for file in (made.folder / PUBLIC, made.accounts, *made.configs.values()):
        assert not [secret for secret in secrets if secret in file.read_text()]


def test_regions_of_one_folder_are_guests_of_each_other(tmp_path: Path) -> None:
    """As soon as the later one's material is there, and never their own guests."""
    make(tmp_path, embedded("east"), ONE)
    assert make(tmp_path, embedded("west"), ONE).guests == ("east",)
    assert make(tmp_path, embedded("east"), ONE).guests == ("west",)


def test_a_lost_seed_is_made_anew_and_a_broken_one_is_named(tmp_path: Path) -> None:
    """Nothing else changes."""
    seeds = make(tmp_path, embedded("east"), ONE).seeds
    seeds["runner"].unlink()
    assert make(tmp_path, embedded("east"), ONE).made == ("runner",)
    seeds["runner"].write_text("nonsense")
    with pytest.raises(ConfigFault, match=r"runner\.nk is no NKey seed; delete it"):
        make(tmp_path, embedded("east"), ONE)


def test_a_role_may_have_the_key_it_had_before_until_its_file_is_gone(tmp_path: Path) -> None:
    """At home and, by ``public.toml``, where it is a guest: so its processes change to the new one at their leisure."""
    first = make(tmp_path, embedded("east"), ONE)
    for role in ("runner", "system"):
        first.seeds[role].rename(first.folder / f"{role}.old.nk")
    both = make(tmp_path, embedded("east"), ONE)
    assert set(both.made) == {"runner", "system"}
    west = make(tmp_path, embedded("west"), ONE)
    for role in ("runner", "system"):
        old, new = public_key(first.folder / f"{role}.old.nk"), public_key(both.seeds[role])
        assert both.accounts.read_text().count(old) == both.accounts.read_text().count(new) == 1
        assert west.accounts.read_text().count(old) == (role == "runner")
        (first.folder / f"{role}.old.nk").unlink()
    after = make(tmp_path, embedded("east"), ONE)
    assert after.made == () and after.public.before == {}
    assert public_key(after.seeds["runner"]) in after.accounts.read_text()


def test_a_process_names_the_seed_that_it_cannot_use(tmp_path: Path) -> None:
    """Before it tries to connect."""
    seed = tmp_path / "gateway.nk"
    with pytest.raises(ConfigFault, match=r"nats_seed_file: .*gateway\.nk is not there; yurt bootstrap --keys"):
        Access(seed_file=seed).options()
    for nonsense in ("", "nonsense", "UAAAA", "SU" + "1" * 56):
        seed.write_text(nonsense)
        with pytest.raises(ConfigFault, match=r"nats_seed_file: .*gateway\.nk is no NKey seed"):
            Access(seed_file=seed).options()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "names no region"),
        ("region = 3", "names no region"),
        ('region = "west"\n[keys]\ngateway = "SUSECRET"', "no public NKey"),
        ('region = "west"\n[keys]\ngateway = "U} # and more"', "no public NKey"),
        ("region", "cannot be read"),
    ],
)
def test_a_guest_s_file_that_is_wrong_is_named(tmp_path: Path, text: str, word: str) -> None:
    """By the flag, the file, and what it lacks."""
    file = tmp_path / "guest.toml"
    file.write_text(text)
    with pytest.raises(ConfigFault, match=rf"--guest: .*guest\.toml.*{word}"):
        read_guests([file], "east")


def test_what_is_typed_says_what_goes_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --nats no server is asked; with --dry-run nothing is made."""
    words = ["--region", "east", "--keys", str(tmp_path / "keys"), "--server", "n1=n1.example.org"]
    assert bootstrap.bootstrap(typed(*words, "--dry-run")) == 0
    assert not (tmp_path / "keys").exists()
    capsys.readouterr()
    assert bootstrap.bootstrap(typed(*words, "--place", "/etc/nats", "--store", "/srv/js")) == 0
    said = capsys.readouterr().out
    for part in ("n1.conf", "gateway.nk", "nats_seed_file", "ca.pem", "nats_ca_file", PUBLIC):
        assert part in said
    config = (tmp_path / "keys" / "east" / "n1.conf").read_text()
    assert '"/etc/nats/n1-key.pem"' in config and '"/srv/js"' in config and "n1.example.org:4222" in config


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--server", "n1"], "--server: 'n1' is no pair"),
        (["--remote", "west="], "--remote: 'west=' is no pair"),
        (["--remote", "east=n1"], "--remote: east is this region"),
        (["--guest", "/nowhere/at-all.toml"], "--guest: /nowhere/at-all.toml cannot be read"),
        (["--region-file", "/nowhere.toml"], "region_file: /nowhere.toml cannot be read"),
    ],
)
def test_what_is_typed_wrongly_is_named(tmp_path: Path, words: list[str], said: str) -> None:
    """One line with the flag and the cure."""
    with pytest.raises(ConfigFault) as caught:
        bootstrap.bootstrap(typed("--region", "east", "--keys", str(tmp_path), *words))
    assert said in str(caught.value)


def test_the_file_of_another_region_is_refused(tmp_path: Path) -> None:
    """A slip of the hand must not set up a region in another's place."""
    (tmp_path / "west.toml").write_text('region = "west"\n')
    with pytest.raises(ConfigFault, match="is the file of west, not of east"):
        bootstrap.bootstrap(typed("--region", "east", "--region-file", str(tmp_path / "west.toml")))
