"""One run: the policy that is used, and the tokens of its clients."""

from pathlib import Path
from typing import cast

import jwt
import pytest
from msgspec.structs import replace

from router.cli.options import load_command_settings
from router.loadtest.execution import LoadTestFailed
from router.loadtest.http_api import RouterHttpApi
from router.loadtest.run import RunOptions, _ensure_policy, token_factory
from router.model.policy import Policy, QueuePolicy
from router.server.auth.keys import create_secret
from tests.loadtest.histories import POLICY

LARGER = replace(POLICY, queues=POLICY.queues | {"other": QueuePolicy()})


class FakeApi:
    """HTTP API of a router with an active policy."""

    def __init__(self, active: Policy | None) -> None:
        self.active = active
        self.published: list[Policy] = []

    async def policy(self) -> Policy | None:
        return self.active

    async def publish(self, policy: Policy, *, replaces: bool = True) -> None:
        assert replaces is (self.active is not None)
        self.published.append(policy)


async def ensured(api: FakeApi, *, publish: bool = False) -> Policy:
    options = RunOptions(publish=publish, owns_router=False)
    return await _ensure_policy(cast(RouterHttpApi, api), POLICY, options)


@pytest.mark.parametrize(
    ("active", "publish", "published"), [(None, False, True), (POLICY, False, False), (POLICY, True, False), (LARGER, True, True)]
)
async def test_the_policy_is_published_if_none_is_active_or_if_another_is_to_be_replaced(
    active: Policy | None, publish: bool, published: bool
) -> None:
    api = FakeApi(active)
    assert await ensured(api, publish=publish) == POLICY
    assert api.published == [POLICY] * published


async def test_an_active_policy_with_all_that_the_day_needs_is_used() -> None:
    api = FakeApi(LARGER)
    assert await ensured(api) == LARGER
    assert api.published == []


async def test_an_active_policy_that_lacks_a_queue_is_an_error_that_names_it() -> None:
    with pytest.raises(LoadTestFailed, match=r"queue calls.*--publish"):
        await ensured(FakeApi(replace(POLICY, queues={})))


def test_tokens_are_signed_with_the_secret_of_the_settings(tmp_path: Path) -> None:
    settings = load_command_settings(None, tmp_path)
    assert create_secret(settings)
    token = token_factory(settings)("agent", "ada")()
    assert isinstance(token, str)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["role"], claims["sub"], claims["workspace"]) == ("agent", "ada", "default")
