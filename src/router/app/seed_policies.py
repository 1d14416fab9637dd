"""The policy of the settings, with which workspaces begin that have none."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog

from router.model.commands import PublishPolicy
from router.model.errors import SettingsInvalid
from router.model.results import RefusalCode, Refused
from router.policy.document.parsing import parse_policy
from router.runtime.writer import Writer
from router.settings import PolicySettings, Settings, read_file_of_settings

_SEED_ACTOR: Final = "router:seed"
_POLICY_BYTES_MAX: Final = 1024 * 1024

MISSING_POLICY_TEXT: Final = (
    "no active policy: every contact is refused until one is published, with `router policy publish FILE` or PUT /v1/policy; "
    "`router init` writes an example, and `router serve --policy FILE` starts with one"
)

_log: Final = structlog.get_logger("router.app")


async def publish_seed_policies(settings: Settings, writer: Writer, workspaces: Iterable[str]) -> list[str]:
    """Publish the policy of the settings in each of these workspaces that has none, and return those that stay without.

    Of several nodes, the leader of the workspace carries it out. Raises SettingsInvalid, PolicyInvalid and what the writer raises.
    """
    without: list[str] = []
    for workspace in workspaces:
        if (await writer.query(workspace, lambda engine: engine.policy_version)).value:
            continue
        document = _read_seed_document(settings.policy)
        if document is None:
            without.append(workspace)
            _log.warning(MISSING_POLICY_TEXT, action="policy_missing", workspace=workspace)
            continue
        policy = await asyncio.to_thread(parse_policy, document)
        command = PublishPolicy(policy=policy, expected_version=0, published_by=_SEED_ACTOR)
        reply = await writer.execute(workspace, command, actor=_SEED_ACTOR)
        answer = reply.outcome.result
        if isinstance(answer, Refused):
            if settings.store.shared and answer.code is RefusalCode.POLICY_VERSION_CONFLICT:
                continue  # Another node that started at the same time was first.
            raise SettingsInvalid(f"policy.seed_path: refused: {answer.code.name.lower()}")
    return without


def _read_seed_document(settings: PolicySettings) -> bytes | None:
    """Return the text of the seed policy; none if the settings name no file, or their default does not exist."""
    if settings.seed_path is None:
        return None
    path = Path(settings.seed_path)
    if settings.seed_path == PolicySettings().seed_path and not path.is_symlink() and not path.exists():
        return None
    return read_file_of_settings(path, bytes_max=_POLICY_BYTES_MAX, place="policy.seed_path")
