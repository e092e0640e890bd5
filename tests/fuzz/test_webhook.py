"""Hostile requests to a webhook: each is answered, none by an error, and learners go on meanwhile."""

from __future__ import annotations

import json
import random

from app.sandbox.client import LearnerClient
from tests.fuzz.corpus import FRAGMENTS
from tests.fuzz.target import UPDATES
from tests.integration.runtime.conftest import stage
from tests.integration.runtime.test_webhook import COURSE, hooked, port, post, reached
from tests.stage import Stage, said

__all__ = ["port", "stage"]


def damaged(chance: random.Random) -> bytes:
    """Return what is nearly an update, with an id of its own so that it is not taken for one seen before."""
    raw = {**json.loads(chance.choice(UPDATES)), "update_id": chance.choice([chance.randrange(10**6), -1, 2**63 - 1])}
    text = json.dumps(raw)
    for _ in range(chance.randrange(3)):
        at = chance.randrange(len(text))
        piece = json.dumps(chance.choice(FRAGMENTS))[1:-1] if chance.random() < 0.7 else "NaN"
        text = text[:at] + piece + text[at + chance.randrange(4) :]
    return text.encode("utf-8", "surrogatepass")


async def test_any_request(stage: Stage) -> None:
    stage.course(COURSE)
    await reached(stage.start(hooked(stage)))
    chance = random.Random(1)
    bodies = [damaged(chance) for _ in range(150)]
    bodies += [b"[" * 100_000, b'{"update_id": 1e400}', b'{"update_id": 5, "message": NaN}', b"", b"\xff", b"null"]
    assert {status for status, *_ in [await post(stage, body) for body in bodies]} == {200, 400}
    for secret in (None, "", "s3cre", "s3crett", "é"):
        assert (await post(stage, bodies[0], secret=secret))[0] == 401
    assert stage.query("SELECT raw FROM dead_update") == []
    learner: LearnerClient = stage.learner(learner_id=9)
    await learner.send("/start")
    await learner.wait_for(said("hello"))
