"""The in-toto statement that a receipt carries: made from a report, and read back with every doubt told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from blockdiff.errors import InvalidInput
from blockdiff.locator import without_credentials
from blockdiff.receipt.strict import parse

if TYPE_CHECKING:
    from blockdiff.receipt.predicate import Predicate

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:blockdiff:verify-receipt:v"
VERSION = 1
DIFFERENCES = "differences"
UNREADABLE_LISTED = 10_000  # ranges; more are counted only, so that a receipt stays a page and not a disk
_TYPE = re.compile(r"https://in-toto\.io/Statement/v([0-9.]+)")


class Receipt(NamedTuple):
    """What a receipt says: the predicate, checked, and as it stands in the JSON."""

    predicate: Predicate
    fields: dict[str, Any]


def encode_statement(predicate: dict[str, Any]) -> bytes:
    """The statement as JSON in UTF-8: the payload of a receipt. Its subjects are the list of differences, and each
    device whose root is known.
    """
    import msgspec

    predicate = _clean(predicate)
    subjects = [{"name": DIFFERENCES, "digest": {"sha256": predicate["differences"]["sha256"]}}]
    subjects += [
        {"name": side, "digest": {root_key(root): root["digest"]}}
        for side in ("source", "target")
        if (root := predicate[side]["root"]) is not None
    ]
    statement = {
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": f"{PREDICATE}{VERSION}",
        "predicate": predicate,
    }
    return msgspec.json.encode(statement)


def root_key(root: dict[str, Any]) -> str:
    """The name of the kind of digest that a manifest's root is, as in-toto's digest sets have one."""
    return f"blockdiff-root-{root['algorithm']}-{root['block_size']}"


def decode_statement(payload: bytes, what: str) -> Receipt:
    """Reads the payload of a receipt. Raises InvalidInput; for another version, naming it and those that are known."""
    fields = parse(payload, f"the statement in {what}")
    if not isinstance(fields, dict):
        raise InvalidInput(f"{what} holds no statement: it is no JSON object")
    _check_type(fields.get("_type"), what)
    kind = fields.get("predicateType")
    if not isinstance(kind, str) or not kind.startswith(PREDICATE):
        raise InvalidInput(f"{what} is no receipt of a verify: its predicateType is {kind!a}")
    version = kind.removeprefix(PREDICATE)
    if version != str(VERSION):
        raise InvalidInput(f"{what} is a receipt of version {version!a}, and known is {VERSION}: use a newer blockdiff")
    return Receipt(_checked(fields, what), fields["predicate"])


def _check_type(kind: object, what: str) -> None:
    if kind == STATEMENT:
        return
    match = _TYPE.fullmatch(kind) if isinstance(kind, str) else None
    if match:
        raise InvalidInput(f"{what} holds an in-toto statement of version {match.group(1)}, and known is 1")
    raise InvalidInput(f"{what} holds no in-toto statement: its _type is {kind!a}")


def _checked(fields: dict[str, Any], what: str) -> Predicate:
    """The predicate, of the right shape and at one with itself and with the subjects."""
    import msgspec

    from blockdiff.receipt.predicate import Predicate, Subject

    try:
        predicate = msgspec.convert(fields.get("predicate"), Predicate)
        subjects = msgspec.convert(fields.get("subject"), list[Subject])
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{what} is malformed: {error}") from None
    wrong = predicate.contradiction(subjects)
    if wrong:
        raise InvalidInput(f"{what} contradicts itself: {wrong}")
    return predicate


def _clean(value: Any) -> Any:
    """The value with credentials removed, and with names that are no UTF-8 written so that they can be told."""
    if isinstance(value, str):
        value = without_credentials(value)
        return value.encode(errors="surrogateescape").decode(errors="backslashreplace") if _odd(value) else value
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def _odd(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text)
