"""Certificates and keys as files: what is taken, what is refused and how that is told, and what is kept meanwhile."""

from __future__ import annotations

import datetime
import logging
import os
import re
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from jobs.errors import ConfigFault
from jobs.service.certificates import Certificate, PairFiles, chosen
from tests.secured import another, put, serial
from yurt.bootstrap.authority import Authority, CertificateFiles, authority, issue


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def pair(local: Authority, tmp_path: Path) -> CertificateFiles:
    return issue(local, tmp_path / "tls", "gw", hosts=["127.0.0.1"])


def offered(certificate: Certificate) -> int:
    """The serial number that a handshake, held in memory, is shown."""
    front, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    front.sni_callback = lambda conversation, name, context: certificate.show(conversation)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there), front.wrap_bio(there, back, server_side=True)]
    for end in (*ends, *ends):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    der = ends[0].getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged since the last call."""
    caplog.set_level(logging.INFO, logger="certificates")

    def taken() -> list[str]:
        said = [record.getMessage() for record in caplog.records if record.name == "certificates"]
        caplog.clear()
        return said

    return taken


def test_a_symlink_that_turns_is_a_change(local: Authority, tmp_path: Path) -> None:
    """As a mounted secret is renewed: the files are links through ``..data``, which is turned by one rename."""
    old, new = another(local, tmp_path / "..1"), another(local, tmp_path / "..2")
    (tmp_path / "..data").symlink_to("..1")
    for file in ("gw.pem", "gw-key.pem"):
        (tmp_path / file).symlink_to(f"..data/{file}")
    certificate = Certificate(PairFiles(cert=tmp_path / "gw.pem", key=tmp_path / "gw-key.pem"))
    assert offered(certificate) == serial(old.cert)
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    certificate.look()
    assert offered(certificate) == serial(new.cert) != serial(old.cert)


BROKEN: dict[str, Callable[[CertificateFiles, CertificateFiles], object]] = {
    "the key is of another": lambda at, other: at.key.write_bytes(other.key.read_bytes()),
    "the certificate is of another": lambda at, other: at.cert.write_bytes(other.cert.read_bytes()),
    "the certificate is gone": lambda at, other: at.cert.unlink(),
    "the key is gone": lambda at, other: at.key.unlink(),
    "the certificate is empty": lambda at, other: at.cert.write_bytes(b""),
    "the key is cut short": lambda at, other: at.key.write_bytes(at.key.read_bytes()[:80]),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_replacement_keeps_the_old_one_and_is_told_once(
    pair: CertificateFiles, local: Authority, tmp_path: Path, how: str, lines: Callable[[], list[str]]
) -> None:
    """One line however often it is looked at; the mended pair is taken."""
    certificate = Certificate(PairFiles(cert=pair.cert, key=pair.key))
    before = serial(pair.cert)
    BROKEN[how](pair, another(local, tmp_path / "other"))
    certificate.look()
    assert lines() == []  # between the one file and the other nothing is wrong yet
    for _ in range(5):
        certificate.look()
    (said,) = lines()
    assert said.startswith("action=certificate_kept") and str(tmp_path) in said
    assert offered(certificate) == before
    put(another(local, tmp_path / "mended"), pair)
    certificate.look()
    assert [line.split()[0] for line in lines()] == ["action=certificate_changed"]
    assert offered(certificate) == serial(pair.cert) != before


def test_an_end_that_is_near_is_told_once_a_day(
    local: Authority, tmp_path: Path, lines: Callable[[], list[str]]
) -> None:
    """From fourteen days before it; after it, it is still served, and said."""
    files = issue(local, tmp_path, "gw", hosts=["127.0.0.1"], days=30)
    began = datetime.datetime.now(datetime.UTC).timestamp()
    day = began
    certificate = Certificate(PairFiles(cert=files.cert, key=files.key), now=lambda: day)
    told = []
    for number in range(1, 33):
        day = began + number * 86_400
        for _ in range(3):
            certificate.look()
        told.append(lines())
    assert told[:15] == [[]] * 15
    assert all(len(said) == 1 for said in told[16:])
    assert "ends in 1.0 days" in told[28][0] and "has ended" in told[31][0]
    assert certificate.left_s < 0


def lone(path: Path, what: str) -> Path:
    path.write_text(what)
    return path


def locked(files: CertificateFiles) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


def upside_down(files: CertificateFiles) -> None:
    files.cert.write_bytes(files.ca.read_bytes() + files.cert.read_bytes())


def swapped(files: CertificateFiles) -> None:
    cert = files.cert.read_bytes()
    files.cert.write_bytes(files.key.read_bytes())
    files.key.write_bytes(cert)


def piped(files: CertificateFiles) -> None:
    files.key.unlink()
    os.mkfifo(files.key)


WRONG: dict[str, tuple[Callable[[CertificateFiles], object], list[str]]] = {
    "missing": (
        lambda files: (files.cert.unlink(), files.key.unlink()),
        ["tls_cert_file: .*gw.pem cannot be read: No such file", "tls_key_file: .*gw-key.pem cannot be read"],
    ),
    "a folder": (lambda files: (files.cert.unlink(), files.cert.mkdir()), ["tls_cert_file: .*Is a directory"]),
    "a pipe": (piped, ["tls_key_file: .*it is no file"]),
    "not PEM": (lambda files: lone(files.cert, "hello"), ["tls_cert_file: .*holds no certificate in PEM"]),
    "neither is": (
        lambda files: (lone(files.cert, ""), lone(files.key, "")),
        ["holds no certificate", "tls_key_file: .*holds no private key in PEM"],
    ),
    "swapped": (swapped, ["holds no certificate", "holds no private key"]),
    "locked": (locked, ["tls_key_file: .*locked with a passphrase"]),
    "in the wrong order": (upside_down, ["the certificate of the key is number 2; put it first"]),
}


@pytest.mark.parametrize("how", WRONG)
def test_files_that_will_not_do_are_named_with_what_is_wrong(pair: CertificateFiles, how: str) -> None:
    """All faults in one line."""
    spoil, says = WRONG[how]
    spoil(pair)
    with pytest.raises(ConfigFault) as fault:
        Certificate(PairFiles(cert=pair.cert, key=pair.key))
    assert "\n" not in str(fault.value)
    for words in says:
        assert re.search(words, str(fault.value)), str(fault.value)


def test_the_key_of_another_certificate_is_said(pair: CertificateFiles, local: Authority, tmp_path: Path) -> None:
    """Naming both files."""
    other = another(local, tmp_path / "other")
    with pytest.raises(ConfigFault, match=r"other/gw-key.pem is not the key of .*tls/gw.pem"):
        Certificate(PairFiles(cert=pair.cert, key=other.key))


def test_a_certificate_out_of_its_time_is_refused_at_the_start(pair: CertificateFiles) -> None:
    """After its end, and before its beginning."""
    files, now = PairFiles(cert=pair.cert, key=pair.key), datetime.datetime.now(datetime.UTC).timestamp()
    with pytest.raises(ConfigFault, match=r"tls_cert_file: .*gw.pem ended on 20\d\d-.*renewed"):
        Certificate(files, now=lambda: now + 366 * 86_400)
    with pytest.raises(ConfigFault, match=r"begins only on .*clock"):
        Certificate(files, now=lambda: now - 86_400)


def test_an_openssl_key_with_its_parameters_is_read(pair: CertificateFiles, local: Authority, tmp_path: Path) -> None:
    """``openssl ecparam -genkey`` writes the curve before the key."""
    made = subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey"], capture_output=True, check=True)
    parameters = made.stdout[: made.stdout.index(b"-----BEGIN EC PRIVATE")]
    old = subprocess.run(["openssl", "ec", "-in", pair.key], capture_output=True, check=True).stdout
    pair.key.write_bytes(parameters + old)
    Certificate(PairFiles(cert=pair.cert, key=pair.key))


def test_the_two_settings_come_together(tmp_path: Path) -> None:
    """Both, or neither; the missing one is named."""
    assert chosen(None, None) is None
    with pytest.raises(ConfigFault, match="tls_cert_file is set and tls_key_file is not"):
        chosen(tmp_path, None)
    with pytest.raises(ConfigFault, match="admin_tls_key_file is set and admin_tls_cert_file is not"):
        chosen(None, tmp_path, prefix="admin_tls")
