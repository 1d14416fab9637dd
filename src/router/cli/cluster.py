"""``router cluster status``: members, leaders, lag and health of the routers on one store."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
import msgspec

from router.cli.options import config_options, configured_url, json_option, load_command_settings, mint_command_token, validate_url
from router.cli.output import EXIT_FAILED, CommandFailure, CommandUsageFailure, print_json, print_renderable

if TYPE_CHECKING:
    from router.cluster.status import ClusterStatus, NodeStatus
    from router.settings import Settings

_ANSWER_S = 2.0
_AGAIN_S = 0.5


@click.group()
def cluster() -> None:
    """Show the routers that use one Redis or Valkey store."""


@cluster.command()
@config_options
@click.option("--store", help="Redis or Valkey server, as for `router serve`; default: store.url of the settings.")
@click.option("--url", help="Ask this router instead of the store; a token is signed with the secret of --data.")
@click.option("--workspace", default="default", show_default=True, help="With --url: workspace of the token.")
@click.option("--nodes", type=click.IntRange(1, 1_000), help="Number of routers that have to be members; another one is a problem.")
@click.option("--wait", type=click.IntRange(0, 86_400), default=0, help="Seconds to wait until there are no problems.")
@json_option
def status(
    config: Path | None,
    data: Path | None,
    store: str | None,
    url: str | None,
    workspace: str,
    nodes: int | None,
    wait: int,
    as_json: bool,
) -> None:
    """Show members, leader of each workspace, lag, epoch, durability and the health of the store.

    Reads the store itself, so it works whether routers run or not, and asks each router that has announced itself whether it
    answers. Where the store cannot be reached it says so and shows the rest. Exits with 1 if there are problems.

    With --nodes and --wait it is the step between two restarts: it returns when that many routers are members, none of them is
    about to stop, and nothing else is wrong.
    """
    settings = load_command_settings(config, data, store__url=store)
    until_s = time.monotonic() + wait
    while True:
        try:
            found = _ask_router(settings, validate_url(url), workspace) if url is not None else _read_store(settings)
        except CommandFailure:
            if time.monotonic() >= until_s:
                raise
        else:
            found = _with_count(found, nodes)
            if found.healthy or time.monotonic() >= until_s:
                break
        time.sleep(min(_AGAIN_S, max(0.0, until_s - time.monotonic())))
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _print_status(found)
    if not found.healthy:
        raise SystemExit(EXIT_FAILED)


def _with_count(found: "ClusterStatus", wanted: int | None) -> "ClusterStatus":
    """Return the state with the problems of a number of routers that is not the one asked for."""
    if wanted is None:
        return found
    members = [node for node in found.nodes if node.is_member]
    problems = [f"node {node.node_id}: is about to stop" for node in members if node.is_draining]
    if len(members) != wanted:
        problems.append(f"members: {len(members)} routers with store.shared, not {wanted} (--nodes)")
    problems = [*found.problems, *problems]
    return msgspec.structs.replace(found, problems=tuple(problems), healthy=not problems)


def _read_store(settings: "Settings") -> "ClusterStatus":
    if settings.store.url is None:
        raise CommandUsageFailure(
            "store.url: the settings name no Redis or Valkey server; give --store, the --config of the router, or --url"
        )
    from router.cluster.redis.status import read_cluster_status

    found = read_cluster_status(settings.store)
    nodes = list(found.nodes)
    if not nodes and not found.servers:
        # The store is away: the router of the same settings can still be asked.
        nodes = asyncio.run(_ask_nodes([_configured_node(settings)]))
        nodes = [node for node in nodes if node.answers]
    else:
        nodes = asyncio.run(_ask_nodes(nodes))
    silent = [f"node {node.node_id}: does not answer at {node.url}" for node in nodes if node.answers is False]
    problems = (*found.problems, *silent)
    return msgspec.structs.replace(found, nodes=tuple(nodes), problems=problems, healthy=not problems)


def _configured_node(settings: "Settings") -> "NodeStatus":
    from router.cluster.status import NodeStatus

    url = configured_url(settings) if settings.server.port else ""
    return NodeStatus(node_id="(of these settings)", url=url, is_member=False)


async def _ask_nodes(nodes: "list[NodeStatus]") -> "list[NodeStatus]":
    return list(await asyncio.gather(*map(_ask_node, nodes)))


async def _ask_node(node: "NodeStatus") -> "NodeStatus":
    from router.client.errors import ClientError
    from router.client.http_query import request

    # A router that listens on all addresses does not know the one at which others reach it.
    if not node.url or urlsplit(node.url).hostname in {"0.0.0.0", "::"}:
        return node
    try:
        async with asyncio.timeout(_ANSWER_S):
            await request(node.url, "/healthz", token="")
    except (ClientError, TimeoutError):
        return msgspec.structs.replace(node, answers=False)
    return msgspec.structs.replace(node, answers=True)


def _ask_router(settings: "Settings", url: str, workspace: str) -> "ClusterStatus":
    from router.client.errors import ClientError
    from router.client.http_query import request
    from router.cluster.status import ClusterStatus

    token = mint_command_token(settings, subject="cluster", role="admin", workspace=workspace, lifetime_s=60)
    try:
        return msgspec.json.decode(asyncio.run(request(url, "/v1/cluster", token=token)), type=ClusterStatus)
    except ClientError as error:
        raise CommandFailure(str(error)) from None
    except msgspec.DecodeError:
        raise CommandFailure(f"the server at {url} did not answer as a router of this version does") from None


def _print_status(found: "ClusterStatus") -> None:
    from rich.table import Table

    if found.servers:
        table = Table("server", "version", "memory", "maxmemory", "replicas", "state", title=f"{found.store} ({found.durability})")
        for server in found.servers:
            limit = f"{server.memory_max_bytes:,}" if server.memory_max_bytes else "none"
            state = "ok" if server.problem is None else "UNFIT"
            table.add_row(server.address, server.version, f"{server.memory_bytes:,}", limit, str(server.replicas), state)
        print_renderable(table)
    if found.nodes:
        table = Table("node", "address", "version", "heard of", "state")
        for node in found.nodes:
            heard = "-" if node.silent_ms is None else f"{node.silent_ms / 1_000:.1f} s ago"
            table.add_row(node.node_id, node.url or "-", node.version or "-", heard, _state_of(node))
        print_renderable(table)
    if found.workspaces:
        table = Table("workspace", "leader", "lease", "epoch", "seq", "waiting", "greatest lag", "followed by")
        for one in found.workspaces:
            lag = max((follower.lag_events for follower in one.followers), default=0)
            numbers = (one.epoch, one.seq, one.waiting_commands, lag)
            followed_by = ", ".join(one.followed_by) or "-"
            lease = f"{one.lease_ms / 1_000:.1f} s"
            table.add_row(one.workspace, one.leader or "NONE", lease, *(f"{n:,}" for n in numbers), followed_by)
        print_renderable(table)
    for problem in found.problems:
        click.echo(f"problem: {problem}")
    click.echo("healthy" if found.healthy else "NOT HEALTHY")


def _state_of(node: "NodeStatus") -> str:
    if node.answers is False:
        return "DOES NOT ANSWER"
    if node.is_draining:
        return "stops"
    return "answers" if node.answers else "holds a lease" if not node.is_member else "member"
