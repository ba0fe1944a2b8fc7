"""The local authority: strict clients take what it signs; that is kept while it is good, and made anew when not."""

from __future__ import annotations

import datetime
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography import x509

from jobs.errors import ConfigFault
from tests.conftest import free_port
from yurt.bootstrap.authority import CertificateFiles, Usage, authority, issue

NOW = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
DEADLINE_S = 10.0


def days_later(days: float) -> datetime.datetime:
    return NOW + datetime.timedelta(days=days)


def shake(files: CertificateFiles, host: str, *, trust: Path) -> None:
    """A real handshake over a socket pair, with the strictest checks that OpenSSL has."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(files.cert, files.key)
    client_context = ssl.create_default_context(cafile=str(trust))
    client_context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()
    ours.settimeout(DEADLINE_S), theirs.settimeout(DEADLINE_S)

    def serve() -> None:
        try:
            server_context.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        with client_context.wrap_socket(ours, server_hostname=host):
            pass
    finally:
        ours.close()
        serving.join()


@pytest.mark.parametrize("host", ["localhost", "gw.example.org", "127.0.0.1", "::1"])
def test_strict_clients_take_every_host_of_a_certificate(tmp_path: Path, host: str) -> None:
    """Names and addresses both count, under OpenSSL's X509_STRICT."""
    local = authority(tmp_path / "authority")
    files = issue(local, tmp_path / "gw", "gw", hosts=["localhost", "gw.example.org", "127.0.0.1", "::1"])
    shake(files, host, trust=files.ca)


def test_a_host_that_was_not_named_is_refused(tmp_path: Path) -> None:
    """A certificate is for its hosts only."""
    files = issue(authority(tmp_path / "a"), tmp_path / "gw", "gw", hosts=["gw.example.org"])
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake(files, "other.example.org", trust=files.ca)


def test_another_authority_of_the_same_name_does_not_vouch(tmp_path: Path) -> None:
    """Trust is by key, not by name."""
    files = issue(authority(tmp_path / "a"), tmp_path / "gw", "gw", hosts=["localhost"])
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(files, "localhost", trust=authority(tmp_path / "b").cert)


@pytest.mark.parametrize(("usage", "purpose"), [("server", "sslserver"), ("client", "sslclient"), ("both", "both")])
def test_openssl_takes_it_for_its_usage_and_no_other(tmp_path: Path, usage: str, purpose: str) -> None:
    """The command line's own strict verification agrees."""
    files = issue(authority(tmp_path / "a"), tmp_path / "x", "x", hosts=["x.example.org"], usage=usage)
    for asked in ("sslserver", "sslclient"):
        verified = subprocess.run(
            ["openssl", "verify", "-x509_strict", "-purpose", asked, "-CAfile", files.ca, files.cert],
            capture_output=True,
        )
        assert (verified.returncode == 0) == (purpose in (asked, "both")), verified


def test_a_pure_client_needs_no_hosts_and_a_server_does(tmp_path: Path) -> None:
    """Whoever is connected to must be told by what."""
    local = authority(tmp_path / "a")
    assert issue(local, tmp_path, "runner", usage=Usage.CLIENT).cert.exists()
    with pytest.raises(ConfigFault, match="by which hosts"):
        issue(local, tmp_path, "gateway")


def test_wrong_hosts_are_all_named(tmp_path: Path) -> None:
    """One line, every fault."""
    with pytest.raises(ConfigFault, match="'a b', 'http://x'"):
        issue(authority(tmp_path / "a"), tmp_path, "gw", hosts=["fine.example.org", "a b", "http://x"])


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    """No group, no others, from the first moment."""
    local = authority(tmp_path / "a")
    files = issue(local, tmp_path / "gw", "gw", hosts=["localhost"])
    assert [file.stat().st_mode & 0o777 for file in (local.key, files.key, local.cert)] == [0o600, 0o600, 0o644]


def test_the_authority_is_made_once(tmp_path: Path) -> None:
    """Trusted once, trusted for good; and several starts at once make one."""
    made: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: made.append(authority(tmp_path / "a").cert.read_bytes())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8 and len(set(made)) == 1


def test_a_certificate_is_kept_until_a_third_of_its_life_is_left(tmp_path: Path) -> None:
    """Asked for at every start, made anew only near its end."""
    local = authority(tmp_path / "a", now=NOW)

    def ask(days: float) -> bytes:
        return issue(local, tmp_path, "gw", hosts=["localhost"], days=90, now=days_later(days)).cert.read_bytes()

    first = ask(0)
    assert ask(59) == first
    assert ask(61) != first


def test_other_hosts_or_another_usage_make_it_anew(tmp_path: Path) -> None:
    """What it says of itself is always what was asked for last; their order does not matter."""
    local = authority(tmp_path / "a")

    def ask(*hosts: str, usage: str = "server") -> bytes:
        return issue(local, tmp_path, "gw", hosts=hosts, usage=usage).cert.read_bytes()

    first = ask("localhost", "127.0.0.1")
    assert ask("127.0.0.1", "localhost") == first
    second = ask("localhost", "127.0.0.1", "gw.example.org")
    assert second != first
    assert ask("localhost", "127.0.0.1", "gw.example.org", usage="both") != second


@pytest.mark.parametrize("spoilt", ["cert", "key"])
@pytest.mark.parametrize("content", [None, b"", b"not PEM", "of another"])
def test_a_spoilt_pair_is_made_anew(tmp_path: Path, spoilt: str, content: bytes | str | None) -> None:
    """Cut off between the two files, or touched by somebody: the next start mends it."""
    local = authority(tmp_path / "a")
    files = issue(local, tmp_path / "gw", "gw", hosts=["localhost"])
    file: Path = getattr(files, spoilt)
    if content is None:
        file.unlink()
    elif content == "of another":
        other = issue(local, tmp_path / "other", "gw", hosts=["localhost"])
        file.write_bytes(getattr(other, spoilt).read_bytes())
    else:
        assert isinstance(content, bytes)
        file.write_bytes(content)
    shake(issue(local, tmp_path / "gw", "gw", hosts=["localhost"]), "localhost", trust=local.cert)


def test_a_new_authority_makes_all_it_vouches_for_anew(tmp_path: Path) -> None:
    """A certificate that the authority of today did not sign is of no use."""
    old = issue(authority(tmp_path / "a"), tmp_path / "gw", "gw", hosts=["localhost"]).cert.read_bytes()
    new = issue(authority(tmp_path / "b"), tmp_path / "gw", "gw", hosts=["localhost"])
    assert new.cert.read_bytes() != old
    shake(new, "localhost", trust=new.ca)


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    """And one that is cut short by that is not made anew at every call."""
    local = authority(tmp_path / "a", now=NOW)
    late = days_later(3650 - 10)
    files = issue(local, tmp_path, "gw", hosts=["localhost"], days=90, now=late)
    before = files.cert.read_bytes()
    end = x509.load_pem_x509_certificate(before).not_valid_after_utc
    assert end == local.certificate.not_valid_after_utc
    again = issue(local, tmp_path, "gw", hosts=["localhost"], days=90, now=late + datetime.timedelta(days=8))
    assert again.cert.read_bytes() == before


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("ca.pem", b"nothing", "ca.pem cannot be used as a certificate"),
        ("ca-key.pem", b"nothing", "ca-key.pem cannot be used as a key"),
        ("ca-key.pem", None, "ca-key.pem cannot be used as a key"),
    ],
)
def test_a_spoilt_authority_is_said_not_replaced(tmp_path: Path, file: str, content: bytes | None, says: str) -> None:
    """Others trust it: it is never made anew behind their backs."""
    authority(tmp_path)
    (tmp_path / file).unlink() if content is None else (tmp_path / file).write_bytes(content)
    with pytest.raises(ConfigFault, match=says):
        authority(tmp_path)


def test_an_authority_with_the_key_of_another_or_past_its_end_is_said(tmp_path: Path) -> None:
    """With the file and the cure."""
    local, other = authority(tmp_path / "a", now=NOW), authority(tmp_path / "b", now=NOW)
    with pytest.raises(ConfigFault, match="ended on 2036-02-27; remove"):
        authority(tmp_path / "a", now=days_later(3651))
    local.key.write_bytes(other.key.read_bytes())
    with pytest.raises(ConfigFault, match="is not the key of"):
        authority(tmp_path / "a", now=NOW)


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    """A file stands where the folder should."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigFault, match="taken cannot hold certificates"):
        authority(tmp_path / "taken")


def test_a_nats_server_speaks_tls_with_it_and_asks_for_it(tmp_path: Path) -> None:
    """Go's checks, both ways: the server is known by its certificate, and knows its client by the client's."""
    local = authority(tmp_path / "a")
    server = issue(local, tmp_path / "n", "nats", hosts=["127.0.0.1"], usage=Usage.BOTH)
    port = free_port()
    config = tmp_path / "nats.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\n'
        f'tls {{ cert_file: "{server.cert}", key_file: "{server.key}", ca_file: "{server.ca}", verify: true }}\n'
    )
    binary = Path(sys.executable).parent / "nats-server"
    with subprocess.Popen([binary, "-c", config], stderr=subprocess.PIPE, text=True) as nats:
        try:
            assert nats.stderr is not None
            for line in nats.stderr:
                if "Server is ready" in line:
                    break
            context = ssl.create_default_context(cafile=str(local.cert))
            context.load_cert_chain(server.cert, server.key)
            with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as plain:
                plain.recv(1 << 16)  # INFO comes first, in the clear
                with context.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
                    secured.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
                    said = secured.recv(1 << 16)
                    while b"PONG" not in said:
                        more = secured.recv(1 << 16)
                        assert more, said
                        said += more
        finally:
            nats.kill()
