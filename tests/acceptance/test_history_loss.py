"""A journal that lost its end: refused at start, and taken up again only on the operator's word, as another history."""

from pathlib import Path

from tests.support.http_api import Api
from tests.support.router_process import RouterProcess


def _lose_the_end(router: RouterProcess) -> None:
    Path(f"{router.settings.journal.path}-wal").unlink()


async def _generation(router: RouterProcess) -> str:
    async with Api(router) as admin:
        return str((await admin.call("GET", "/v1/state")).json["history_id"])


async def test_a_damaged_journal_starts_only_with_accept_history_loss(tmp_path: Path) -> None:
    """I28."""
    router = RouterProcess(tmp_path).start()
    before = await _generation(router)
    router.kill()
    _lose_the_end(router)

    router.spawn()
    assert router.wait() == 3
    assert "JournalCorrupt" in "".join(router.log)

    router.start("--accept-history-loss")
    accepted = await _generation(router)
    assert accepted != before
    assert router.stop() == 0

    router.start()
    assert await _generation(router) == accepted
    assert router.stop() == 0
