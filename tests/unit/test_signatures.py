"""Signatures of webhooks: each scheme's good ones, and everything else refused without an exception."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook
from support.webhook_signing import SECRET, SIGNERS, STAMPED, standard

from app.models.trigger import HmacConfig, TriggerConfig
from app.services import signatures
from app.services.signatures import key_of, new_secret, verify

NOW = 1_790_000_000
BODY = b'{"event": "data_received", "text": "\xff\x00 raw"}'
OTHER = new_secret()


def lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def check(scheme: str, headers: dict[str, str], body: bytes = BODY, *, now: float = NOW, **config: Any) -> bool:
    trigger = TriggerConfig.model_validate({"scheme": scheme, **config})
    return verify(trigger, [key_of(trigger.scheme, SECRET)], lower(headers), body, now).holds


@pytest.mark.parametrize("scheme", SIGNERS)
def test_what_the_sender_signed_holds_and_nothing_else_does(scheme: str) -> None:
    good = SIGNERS[scheme](BODY, at=NOW)
    assert check(scheme, good)
    assert not check(scheme, SIGNERS[scheme](BODY, at=NOW, secret=OTHER))
    assert not check(scheme, {})
    if scheme != "bearer":
        assert not check(scheme, good, BODY + b" ")
        assert not check(scheme, SIGNERS[scheme](b"", at=NOW))
    trigger = TriggerConfig.model_validate({"scheme": scheme})
    assert not verify(trigger, [], lower(good), BODY, NOW).holds
    assert not verify(trigger, [b""], lower(good), BODY, NOW).holds
    for other in SIGNERS.keys() - {scheme}:
        assert not check(other, good), other


@pytest.mark.parametrize("scheme", SIGNERS)
def test_every_altered_header_is_refused(scheme: str) -> None:
    good = SIGNERS[scheme](BODY, at=NOW)
    signed = [name for name in good if not name.lower().endswith(("delivery", "key")) and name != "Webhook-Id"]
    for name in signed:
        value = good[name]
        cut = [value[: len(value) // 2], value[:-1], "", " ", value[::-1]]
        for bad in [
            *cut,
            "garbage",
            "é" * 20,
            "\x00",
            "v1,",
            "v1,é",
            "=",
            ",,,",
            "t=,v1=",
            "sha256=",
            "Bearer",
            "Bearer ",
        ]:
            assert not check(scheme, {**good, name: bad}), (name, bad)
        assert not check(scheme, {key: kept for key, kept in good.items() if key != name}), name


@pytest.mark.parametrize("scheme", sorted(STAMPED))
def test_a_signed_time_may_be_five_minutes_off_either_way(scheme: str) -> None:
    signer = SIGNERS[scheme]
    for off in (-300, -299, 0, 299, 300):
        assert check(scheme, signer(BODY, at=NOW + off)), off
    for off in (-301, -86_400, 301, 86_400):
        assert not check(scheme, signer(BODY, at=NOW + off)), off
    assert not check(scheme, signer(BODY, at=NOW - 20), tolerance_seconds=10)
    assert check(scheme, signer(BODY, at=NOW - 5), tolerance_seconds=10)


@pytest.mark.parametrize("stamp", ["", "now", "-1", "1e9", "١٧٩", f" {NOW}", f"{NOW}.0", "9" * 13, "0x10", "NaN"])
def test_a_time_that_is_no_number_is_refused_even_if_signed(stamp: str) -> None:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = base64.b64encode(hmac.digest(key, b"msg_1." + stamp.encode() + b"." + BODY, "sha256")).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": f"v1,{digest}"}
    assert not check("standard", headers)


def test_the_reference_library_signs_what_we_accept() -> None:
    from datetime import UTC, datetime

    signed = Webhook(SECRET).sign(
        "msg_1", datetime.fromtimestamp(NOW, UTC), BODY.decode("latin-1").encode("utf-8").decode()
    )
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": f"v1,{'A' * 44} {signed}"}
    body = BODY.decode("latin-1").encode("utf-8")
    assert check("standard", headers, body)
    assert check("standard", {name.replace("webhook-", "svix-"): value for name, value in headers.items()}, body)
    assert not check("standard", {**headers, "webhook-signature": signed.replace("v1,", "v2,")}, body)
    assert not check("standard", {**headers, "webhook-id": "msg_2"}, body)


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("prefix", ["", "sha=", "v0 "])
def test_the_generic_signature_is_what_its_settings_say(algorithm: Any, encoding: Any, prefix: str) -> None:
    config = HmacConfig(header="X-Acme-Hash", algorithm=algorithm, encoding=encoding, prefix=prefix)
    digest = hmac.new(SECRET.encode(), BODY, getattr(hashlib, algorithm)).digest()
    shown = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    trigger = TriggerConfig(scheme="hmac", hmac=config)
    keys = [OTHER.encode(), SECRET.encode()]
    assert verify(trigger, keys, {"x-acme-hash": prefix + shown}, BODY, NOW).holds
    assert verify(trigger, keys, {"x-acme-hash": prefix + shown.upper()}, BODY, NOW).holds is (encoding == "hex")
    assert not verify(trigger, keys, {"x-acme-hash": "other=" + shown}, BODY, NOW).holds
    assert not verify(trigger, keys, {"x-signature": prefix + shown}, BODY, NOW).holds


def test_both_of_two_secrets_hold() -> None:
    trigger = TriggerConfig()
    keys = [key_of("standard", SECRET), key_of("standard", OTHER)]
    for secret in (SECRET, OTHER):
        assert verify(trigger, keys, standard(BODY, at=NOW, secret=secret), BODY, NOW).holds
    assert not verify(trigger, keys, standard(BODY, at=NOW, secret=new_secret()), BODY, NOW).holds


def test_secrets_that_a_scheme_cannot_use_are_refused() -> None:
    for bad in (
        "whsec_",
        "whsec_short",
        "whsec_" + "é" * 40,
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        "not base64!" * 4,
    ):
        with pytest.raises(ValueError, match="whsec_"):
            key_of("standard", bad)
    made = new_secret()
    assert made != new_secret()
    assert len(key_of("standard", made)) == 24
    assert key_of("github", made) == made.encode()


_text = st.text(max_size=60) | st.from_regex(r"(v1,|v0=|t=|sha256=|Bearer )?[A-Za-z0-9+/=,. ]{0,80}", fullmatch=True)
_names = sorted({name.lower() for signer in SIGNERS.values() for name in signer(b"", at=NOW)})


@given(
    st.sampled_from([*SIGNERS, "none"]),
    st.dictionaries(st.sampled_from(_names), _text, max_size=6),
    st.binary(max_size=100),
)
@settings(max_examples=400, deadline=None)
def test_no_header_raises_or_opens(scheme: Any, headers: dict[str, str], body: bytes) -> None:
    trigger = TriggerConfig(scheme=scheme)
    assert not verify(trigger, [key_of(scheme, SECRET)], headers, body, NOW).holds
    assert signatures.REFUSED.signed_at is None
