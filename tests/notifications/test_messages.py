"""Events and what people read."""

from typing import Any

import pytest

from tasks.notifications.messages import inert, message

GROUP: dict[str, Any] = {
    "tenant": "default",
    "group_id": "b04cd3c7-2111-0a22-00f5-2fa671933a17",
    "priority": "high",
    "file_sha256": "ab" * 32,
    "alerts": 3,
    "recipients": 2,
    "users": None,
    "devices": None,
    "exposed": 1,
    "released": 0,
    "first_detected_at": "2026-03-01T09:30:00+00:00",
    "last_detected_at": "2026-03-01T10:00:00+00:00",
    "cause": "poll",
}
GROUP_LINES = [
    "3 alerts · 2 recipients · 1 recipient without an alert · 0 released",
    f"SHA-256: {'ab' * 32}",
    "detected: 2026-03-01 09:30 UTC to 2026-03-01 10:00 UTC",
    "tenant: default",
    "attachment-alerts group b04cd3c7-2111-0a22-00f5-2fa671933a17",
]
DIGEST = {
    "tenant": "default",
    "groups": 12,
    "high": 2,
    "changes": {"group_opened": 11, "exposure_found": 2},
    "causes": {"first_look_back": 13},
    "group_ids": [GROUP["group_id"]],
}


@pytest.mark.parametrize(
    ("event", "about", "facts", "lines"),
    [
        ("group.opened", "group b04cd3c7", GROUP, ["New group of alerts, priority high.", *GROUP_LINES]),
        ("attachment.released", "group b04cd3c7", GROUP, ["A dangerous attachment was released.", *GROUP_LINES]),
        (
            "connector.lost",
            "acme",
            {"state": "auth_failed", "error": "The keys have expired. Make new ones.", "complete_until": None},
            [
                "No connection: acme.",
                "The keys have expired. Make new ones.",
                "attachment-alerts test-connection acme",
            ],
        ),
        (
            "connector.silent",
            "acme",
            {},
            [
                "No poll has ended in time: acme.",
                "Switched off on purpose? Else see that server and worker run: attachment-alerts health",
            ],
        ),
        (
            "digest",
            "12 groups",
            DIGEST,
            [
                "12 groups of alerts, 2 of priority high, in one message because they came in bulk or were detected "
                "more than a day ago.",
                "changes: 11 group opened, 2 exposure found",
                "brought by: first look back",
                "tenant: default",
                "attachment-alerts group b04cd3c7-2111-0a22-00f5-2fa671933a17",
                "attachment-alerts alerts --priority high",
            ],
        ),
    ],
)
def test_message(event: str, about: str, facts: dict[str, Any], lines: list[str]) -> None:
    assert message(f"attachment-alerts.{event}", about, facts).body.splitlines() == lines


@pytest.mark.parametrize("event", ["group.opened", "connector.lost", "digest", "something.else"])
def test_nothing_in_an_event_calls_anybody_or_adds_a_line(event: str) -> None:
    hostile = "<!channel> <https://evil.example|here> [x](y) &amp; @all\n\x1b[31m\u202e"
    facts = dict.fromkeys([*GROUP, "error"], hostile) if event != "digest" else DIGEST | {"groups": hostile}
    if event == "connector.lost":
        del facts["group_id"]
    clean = message(event, "a", dict.fromkeys(facts, "x") | ({} if event != "digest" else DIGEST))
    text = message(event, hostile, facts)
    assert not set("<>[]&@\x1b\u202e") & set(text.subject + text.body)
    assert "\n" not in text.subject
    assert len(text.body.splitlines()) == len(clean.body.splitlines())


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("<!channel> <!subteam^S1|x>", "(!channel) (!subteam^S1|x)"),  # Slack
        ("<http://evil.example|here>", "(http(:)//evil(.)example|here)"),
        (
            "@here @channel @all <@U1> <@&1>",
            "(at)here (at)channel (at)all ((at)U1) ((at)+1)",
        ),  # also Discord, Mattermost
        ("<at>Ann</at>", "(at)Ann(/at)"),  # Teams
        ("[x](https://evil.example) ![x](y.example)", "(x)(https(:)//evil(.)example) !(x)(y(.)example)"),
        ("[x]: https://192.0.2.1/x", "(x): https(:)//192.0.2.1/x"),
        (
            "www.evil.example evil.\u0440\u0444 evil\u3002example",
            "www(.)evil(.)example evil(.)\u0440\u0444 evil(\u3002)example",
        ),
        ("mailto:ann@evil.example", "mailto:ann(at)evil(.)example"),
        ("&lt;!channel&gt; \\u003c", "+lt;!channel+gt; \\u003c"),
        ("Took 1.5 s. Then it failed: 10:30.", "Took 1.5 s. Then it failed: 10:30."),
    ],
)
def test_what_a_chat_would_obey_is_text(written: str, shown: str) -> None:
    assert inert(written) == shown
