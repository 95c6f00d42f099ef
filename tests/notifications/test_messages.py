"""The texts of messages."""

from pathlib import Path
from typing import Any

import pytest

from tasks.notifications.messages import TITLES, inert, message

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
DIGEST = {
    "tenant": "default",
    "groups": 12,
    "high": 2,
    "changes": {"group_opened": 11, "exposure_found": 2},
    "causes": {"first_look_back": 13},
    "group_ids": [GROUP["group_id"]],
}


LOST = {"state": "auth_failed", "error": "The keys have expired. Create new ones.", "complete_until": None}
QUIET = {"state": "quiet", "error": None, "complete_until": "2026-03-01T10:00:00+00:00"}
EVENTS: list[tuple[str, str, dict[str, Any]]] = [
    *[(name, "group b04cd3c7", GROUP) for name in TITLES if not name.startswith("connector.")],
    ("connector.lost", "acme", LOST),
    ("connector.back", "acme", QUIET),
    ("connector.quiet", "acme", QUIET),
    ("connector.silent", "acme", {}),
    ("digest", "12 groups", DIGEST),
]


def test_messages_match_golden_file() -> None:
    """`messages.txt` shows every message; if a text changes on purpose, write it there."""
    texts = [message(f"attachment-alerts.{event}", about, facts) for event, about, facts in EVENTS]
    golden = (Path(__file__).parent / "messages.txt").read_text(encoding="utf-8")
    assert "\n\n".join(f"Subject: {subject}\n{body}" for subject, body in texts) + "\n" == golden


@pytest.mark.parametrize("event", ["group.opened", "connector.lost", "digest", "something.else"])
def test_hostile_facts_mention_nobody_and_add_no_line(event: str) -> None:
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
def test_inert_chat_markup_becomes_text(written: str, shown: str) -> None:
    assert inert(written) == shown
