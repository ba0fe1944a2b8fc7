"""JSON becomes a ``Submission``, or every fault in it is told. Pure: what is offered comes in as an argument.

Decisions that the contract leaves open
1. ``cases`` together with ``stdin``: a case that gives no stdin of its own gets the submission's, as it does for
   ``args``; what that makes of the input as a whole is bounded by the size of a body.
2. ``entry`` goes with ``files``; with ``code`` there is one file, and its name is the language's.
3. A language that no runner offers is refused once what the region offers is settled (``Known.settled``); before that
   (nothing was heard, or runners are still proving themselves) the job may wait in the queue.
4. A version, a variant and flags are held against what is offered, where something of the language is.
5. ``webhook`` is checked, and then refused: calls are not made yet, and silence would be a lie.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from gateway.fields import Faults, Fields, kind, shown, text_problem
from jobs import limits as bounds
from jobs.errors import InvalidSubmission, NotJson
from jobs.events import Offer
from jobs.languages import NAMING, Language, find, satisfies, version_key
from jobs.limits import Limits, Tier
from jobs.states import Priority
from jobs.submission import Case, Compare, SourceFile, Submission, Terminal, Webhook

# fmt: off
_SUBMISSION = frozenset({
    "language", "version", "variant", "code", "files", "entry", "stdin", "stdin_encoding", "args", "env", "timeout",
    "memory_limit", "limits", "compile_flags", "cases", "compare", "outputs", "priority", "region", "webhook",
    "interactive", "tty",
})
# fmt: on
_FILE = frozenset({"name", "content", "encoding"})
_CASE = frozenset({"stdin", "expected_output", "args", "encoding"})
_LIMITS = frozenset({"cpu_seconds", "output_bytes", "processes", "file_bytes", "compile_seconds"})

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_VERSION = re.compile(r"\*|[0-9A-Za-z][0-9A-Za-z._+-]{0,39}")
_VARIANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")

TERMINAL_CELLS = (1, 1000)  #: least and most rows, and columns
ARGS_AND_ENV_BYTES = 1 << 20  #: all of both: well below what the kernel takes at an exec


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a submission is held against: the offers by language, newest version first, and the regions' names.

    *elsewhere*: what the other regions offer, for languages that are not offered here. *named*: what a submission that
    names a region is held against instead.
    """

    offers: Mapping[Language, tuple[Offer, ...]] = field(default_factory=dict)
    settled: bool = False  #: what is offered has not grown for a while, so that what is missing is missing
    regions: tuple[str, ...] = ()
    elsewhere: Mapping[Language, tuple[Offer, ...]] = field(default_factory=dict)
    named: Mapping[str, Known] = field(default_factory=dict)

    def of(self, language: Language) -> tuple[Offer, ...]:
        return self.offers.get(language) or self.elsewhere.get(language, ())

    def languages(self) -> tuple[Language, ...]:
        return tuple(language for language in Language if self.of(language))

    def at(self, region: str) -> Known:
        """For a submission that asks for *region*: elsewhere counts for ``auto`` only."""
        if region == "home":
            return self.named.get(self.regions[0], self) if self.regions else self
        return self.named.get(region, self)


def submission(body: Any, known: Known, *, tier: Tier = Tier.PREMIUM) -> Submission:
    """The submission that *body* describes; raises ``NotJson`` or ``InvalidSubmission``."""
    if not isinstance(body, dict):
        raise NotJson(f"the body must be an object; this is {kind(body)}")
    faults = Faults()
    parsed = _submission(Fields(body, _SUBMISSION, faults), known, bounds.CEILINGS[tier])
    if faults.found:
        raise InvalidSubmission(tuple(faults.found))
    return parsed


def batch(body: Any, known: Known, *, tier: Tier = Tier.PREMIUM) -> tuple[Submission, ...]:
    """The submissions of a batch, in order; the faults of all of them carry ``executions[3].code``."""
    if not isinstance(body, dict):
        raise NotJson(f"the body must be an object; this is {kind(body)}")
    faults = Faults()
    entries = Fields(body, frozenset({"executions"}), faults).objects("executions", bounds.BATCH, _SUBMISSION)
    if not entries and not faults.found:
        faults.add("executions", "is missing or empty", f"send a list of 1 to {bounds.BATCH} submissions")
    parsed = tuple(_submission(entry, known, bounds.CEILINGS[tier]) for entry in entries)
    if faults.found:
        raise InvalidSubmission(tuple(faults.found))
    return parsed


def _submission(fields: Fields, known: Known, ceiling: Limits) -> Submission:
    region = _region(fields, known)
    known = known.at(region)
    language = _language(fields, known)
    version, variant, offers = _installation(fields, language, known)
    code, files, entry = _program(fields)
    stdin = fields.data("stdin", fields.encoding("stdin_encoding"))
    args, env = _args(fields), _env(fields)
    timeout_s = fields.number("timeout", *bounds.TIMEOUT_S)
    interactive = fields.boolean("interactive")
    parsed = Submission(
        language=language or Language.PYTHON,
        version=version,
        variant=variant,
        code=code,
        files=files,
        entry=entry,
        stdin=stdin,
        args=args,
        env=env,
        timeout_s=timeout_s,
        memory_mb=fields.whole("memory_limit", *bounds.MEMORY_MB),
        limits=_limits(fields, timeout_s, ceiling),
        compile_flags=_compile_flags(fields, language, offers),
        cases=_cases(fields, stdin),
        compare=fields.choice("compare", Compare, Compare.LINES),
        outputs=_outputs(fields),
        priority=fields.choice("priority", Priority, Priority.NORMAL),
        region=region,
        webhook=_webhook(fields),
        interactive=interactive,
        tty=_tty(fields, interactive),
    )
    if interactive and fields.given("cases"):
        fields.fault("interactive", "cases are judged on input that is sent along", "leave one of the two out")
    return parsed


# -- which language ----------------------------------------------------------------------------------------------


def _language(fields: Fields, known: Known) -> Language | None:
    names = ", ".join(Language)
    if not fields.given("language"):
        fields.fault("language", "is missing", f"name one of {names}")
        return None
    name = fields.body["language"]
    if not isinstance(name, str):
        fields.fault("language", f"must be a string; this is {kind(name)}", f"name one of {names}")
        return None
    language = find(name)
    if language is None:
        fields.fault("language", f"{shown(name)} is not known", _nearest_language(name, names))
        return None
    if known.settled and not known.of(language):
        offered = ", ".join(known.languages()) or "none"
        fields.fault("language", f"no runner here offers {language}", f"use one that is offered: {offered}")
    return language


def _nearest_language(name: str, names: str) -> str:
    spelled = {word: language for language, naming in NAMING.items() for word in (language.value, *naming.aliases)}
    near = difflib.get_close_matches(name[:40].strip().lower(), spelled, 1, 0.6)
    return f"did you mean {spelled[near[0]]}? The known ones are {names}" if near else f"name one of {names}"


def _installation(fields: Fields, language: Language | None, known: Known) -> tuple[str, str, tuple[Offer, ...]]:
    """Version and variant as asked for, and the offers that they fit."""
    offers = known.of(language) if language is not None else ()
    version, variant = fields.text("version", "*").strip(), fields.text("variant")
    if not _VERSION.fullmatch(version):
        fields.fault("version", f"{shown(version)} is no version", 'send a prefix such as "3" or "3.11", or "*"')
    elif offers:
        fitting = tuple(offer for offer in offers if satisfies(version, offer.version))
        if not fitting:
            there = ", ".join(dict.fromkeys(offer.version for offer in offers))
            fields.fault("version", f"no {language} {version} is installed", f"use one of {there}, a prefix, or *")
        offers = fitting or offers
    if variant and not _VARIANT.fullmatch(variant):
        fields.fault("variant", f"{shown(variant)} is no variant", "use a name that GET /api/v1/languages lists")
    elif variant and offers:
        fitting = tuple(offer for offer in offers if variant in offer.variants)
        if not fitting:
            there = ", ".join(sorted({name for offer in offers for name in offer.variants})) or "none"
            fields.fault("variant", f"there is no variant {variant} of it", f"leave it out, or use one of: {there}")
        offers = fitting or offers
    return version, variant, offers


def _compile_flags(fields: Fields, language: Language | None, offers: tuple[Offer, ...]) -> tuple[str, ...] | None:
    if not fields.given("compile_flags"):
        return None
    flags = fields.texts("compile_flags", bounds.COMPILE_FLAGS, bounds.ARG_BYTES)
    if language is None or not offers:
        return flags
    newest = max(offers, key=lambda offer: version_key(offer.version))
    for flag in flags:
        if not any(fnmatchcase(flag, pattern) for pattern in newest.allowed_flags):
            allowed = " ".join(newest.allowed_flags) or "none"
            fields.fault("compile_flags", f"{shown(flag)} is not allowed for {language}", f"allowed are: {allowed}")
    return flags


# -- the program -------------------------------------------------------------------------------------------------


def _program(fields: Fields) -> tuple[bytes | None, tuple[SourceFile, ...], str | None]:
    has_code, has_files = fields.given("code"), fields.given("files")
    if not has_code and not has_files:
        fields.fault("code", "there is no program", "send code (one file) or files (several)")
    elif has_code and has_files:
        fields.fault("code", "code and files are both given", "send one of the two")
    code = fields.data("code") if has_code else None
    files = _files(fields) if has_files else ()
    return code, files, _entry(fields, files, has_files=has_files)


def _files(fields: Fields) -> tuple[SourceFile, ...]:
    entries = fields.objects("files", bounds.FILES, _FILE)
    if fields.body["files"] == []:
        fields.fault("files", "is empty", "send at least one file, or code")
    files = []
    for entry in entries:
        name = entry.text("name")
        if not entry.given("name"):
            entry.fault("name", "is missing", "give each file a relative name")
        elif name == entry.body["name"] and (problem := name_problem(name)):
            entry.fault("name", problem, "use a relative name such as src/main.py")
        if not entry.given("content"):
            entry.fault("content", "is missing", 'send the text; an empty file is ""')
        files.append(SourceFile(name=name, content=entry.data("content", entry.encoding("encoding"))))
    _check_distinct(fields, [file.name for file in files])
    return tuple(files)


def _check_distinct(fields: Fields, names: list[str]) -> None:
    seen: set[str] = set()
    folders = {name[:at] for name in names for at, letter in enumerate(name) if letter == "/"}
    for at, name in enumerate(names):
        if name and name in seen:
            fields.fault(f"files[{at}].name", f"{shown(name)} is there twice", "give each file its own name")
        elif name in folders:
            fields.fault(f"files[{at}].name", f"{shown(name)} is a folder of another file", "rename one of the two")
        seen.add(name)


def name_problem(name: str) -> str | None:
    """What is wrong with the name of a file in /workspace; None: nothing."""
    if name.startswith("/"):
        return "is absolute"
    if "\\" in name:
        return "holds a backslash"
    if _CONTROL.search(name):
        return "holds a control character"
    parts = name.split("/")
    if "" in parts:
        return "has an empty part"
    if "." in parts or ".." in parts:
        return "has a part that is . or .."
    if any(len(part.encode()) > bounds.FILE_NAME_PART_BYTES for part in parts):
        return f"has a part of over {bounds.FILE_NAME_PART_BYTES} bytes"
    if len(name.encode()) > bounds.FILE_NAME_BYTES:
        return f"has over {bounds.FILE_NAME_BYTES} bytes"
    return None


def _entry(fields: Fields, files: tuple[SourceFile, ...], *, has_files: bool) -> str | None:
    entry = fields.text("entry")
    if not fields.given("entry"):
        return files[0].name if files else None
    names = [file.name for file in files]
    if not has_files:
        fields.fault("entry", "goes with files", "leave it out: code is one file")
    elif entry == fields.body["entry"] and entry not in names:
        fields.fault("entry", f"{shown(entry)} is not among the files", "use the exact name of one of them")
    return entry


# -- how it runs -------------------------------------------------------------------------------------------------


def _args(fields: Fields) -> tuple[str, ...]:
    args = fields.texts("args", bounds.ARGS, bounds.ARG_BYTES)
    if args and sum(len(arg) for arg in args) > ARGS_AND_ENV_BYTES:
        fields.fault(
            "args", "are too long together", f"send at most {ARGS_AND_ENV_BYTES} bytes, or use stdin or a file"
        )
    return args


def _env(fields: Fields) -> tuple[tuple[str, str], ...]:
    given = fields.object("env")
    if given is None:
        return ()
    if len(given) > bounds.ENV_ENTRIES:
        fields.fault("env", f"has {len(given)} entries", f"send at most {bounds.ENV_ENTRIES}")
        return ()
    size = 0
    for name, value in given.items():
        if not _ENV_NAME.fullmatch(name):
            fields.fault("env", f"{shown(name)} is no name of a variable", "use letters, digits and _, no digit first")
        elif problem := text_problem(value, bounds.ARG_BYTES - len(name) - 1):
            fields.fault("env", f"{shown(name)} {problem[0]}", problem[1])
        else:
            size += len(name) + len(value)
    if size > ARGS_AND_ENV_BYTES:
        fields.fault("env", "is too large together", f"send at most {ARGS_AND_ENV_BYTES} bytes, or use stdin or a file")
    return tuple(given.items())


def _limits(fields: Fields, timeout_s: float, ceiling: Limits) -> Limits:
    given = fields.object("limits")
    least, default = bounds.LEAST, bounds.DEFAULTS
    if given is None:
        return Limits(
            cpu_seconds=timeout_s,
            output_bytes=default.output_bytes,
            processes=default.processes,
            file_bytes=default.file_bytes,
            compile_seconds=default.compile_seconds,
        )
    part = Fields(given, _LIMITS, fields.faults, fields.path + "limits.")
    return Limits(
        cpu_seconds=part.number("cpu_seconds", least.cpu_seconds, timeout_s, ceiling.cpu_seconds),
        output_bytes=part.whole("output_bytes", least.output_bytes, default.output_bytes, ceiling.output_bytes),
        processes=part.whole("processes", least.processes, default.processes, ceiling.processes),
        file_bytes=part.whole("file_bytes", least.file_bytes, default.file_bytes, ceiling.file_bytes),
        compile_seconds=part.number(
            "compile_seconds", least.compile_seconds, default.compile_seconds, ceiling.compile_seconds
        ),
    )


def _cases(fields: Fields, stdin: bytes) -> tuple[Case, ...] | None:
    if not fields.given("cases"):
        return None
    cases = []
    for entry in fields.objects("cases", bounds.CASES, _CASE):
        encoding = entry.encoding("encoding")
        expected = entry.data("expected_output", encoding) if entry.given("expected_output") else None
        args = _args(entry) if entry.given("args") else None
        cases.append(Case(stdin=entry.data("stdin", encoding, stdin), expected_output=expected, args=args))
    if fields.body["cases"] == []:
        fields.fault("cases", "is empty", "send at least one case, or leave it out")
    if sum(len(case.stdin) for case in cases) > bounds.BODY_BYTES:
        fields.fault(
            "cases", f"their input is over {bounds.BODY_BYTES} bytes together", "give fewer cases the common stdin"
        )
    return tuple(cases)


def _outputs(fields: Fields) -> tuple[str, ...]:
    globs = fields.texts("outputs", bounds.OUTPUT_GLOBS, bounds.FILE_NAME_BYTES)
    for at, glob in enumerate(globs):
        problem = name_problem(glob) if "\0" not in glob and _encodes(glob) else None
        if problem:
            fields.fault("outputs", f"entry {at} {problem}", "use relative patterns such as plots/*.png or **/*.csv")
    return globs


def _encodes(text: str) -> bool:
    return text_problem(text, len(text) * 4) is None


def _region(fields: Fields, known: Known) -> str:
    region = fields.text("region", "auto")
    if region not in ("auto", "home", *known.regions):
        there = ", ".join(known.regions)
        fields.fault("region", f"there is no region {shown(region)}", f"use auto, home or one of: {there}")
    return region


def _webhook(fields: Fields) -> Webhook | None:
    given = fields.object("webhook")
    if given is None:
        return None
    part = Fields(given, frozenset({"url", "secret_name"}), fields.faults, fields.path + "webhook.")
    url, secret_name = part.text("url"), part.text("secret_name")
    if not part.given("url"):
        part.fault("url", "is missing", "give the https address to call")
    elif url == given["url"] and not _is_https(url):
        part.fault("url", f"{shown(url)} is no https address", "give one such as https://example.org/done")
    if not part.given("secret_name"):
        part.fault("secret_name", "is missing", "name the secret that signs the call")
    fields.fault("webhook", "webhooks are not served yet", "leave it out, and use ?wait, the WebSocket or events")
    return Webhook(url=url, secret_name=secret_name)


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname)
    except ValueError:
        return False


def _tty(fields: Fields, interactive: bool) -> Terminal | None:
    given = fields.object("tty")
    if given is None:
        return None
    part = Fields(given, frozenset({"rows", "cols"}), fields.faults, fields.path + "tty.")
    least, most = TERMINAL_CELLS
    if not interactive:
        fields.fault("tty", "a terminal goes with interactive", "set interactive to true, or leave tty out")
    return Terminal(rows=part.whole("rows", least, 24, most), cols=part.whole("cols", least, 80, most))
