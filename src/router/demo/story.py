"""One customer's story over the real API of a router process: from a failed payment in an app to the same agent two days later.

The app of a bank records what Ann does, asks for an agent, and shows the options. Ann chooses a chat, reaches an agent who is
qualified and free, stops, and goes on by telephone two days later. In between the router is killed, and started again with its
clock two days ahead (``router_ahead``). Every statement of the story is compared with what the router answers.
"""

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
from msgspec import Struct

from router.client import CustomerClient
from router.client.errors import ClientError
from router.client.state import CachedOffer
from router.context.cards import Card
from router.demo.bank import Bank, StoryFailed, until
from router.demo.transcript import Transcript, time_text
from router.loadtest.execution import LoadTestFailed
from router.loadtest.main import child_settings
from router.loadtest.router_process import RouterSubprocess
from router.model.request_views import RequestView
from router.model.states import RequestPhase
from router.settings import Settings

POLICY_PATH: Final = Path(__file__).with_name("story.yaml")
AHEAD_S: Final = 2 * 86_400
_ROUTER_AHEAD: Final = ("-m", "router.demo.router_ahead", str(AHEAD_S))

_APP: Final = "gateway:bank"
_CENTRE: Final = "supervisor:centre"
_USER: Final = {"type": "app_user", "value": "user-7", "assurance": "verified"}
_PHONE: Final = {"type": "phone", "value": "+442079460123"}
_NAME: Final = "Ann Miller"
_NOTE: Final = "Stopped by the daily limit. Ann sends the passport."
_AGENTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "ada": {"skills": {"payments": 8}, "attributes": {"alias": "Ada"}},
    "ben": {"skills": {"payments": 6}, "attributes": {"alias": "Ben"}},
    "cleo": {"skills": {"payments": 7}, "attributes": {"alias": "Cleo"}},
    "dora": {"skills": {"loans": 9}, "attributes": {"alias": "Dora"}},
}


class _Ann(Struct):
    """What the bank's app keeps of Ann."""

    customer_id: str = ""
    request_id: str = ""
    token: str = ""


async def tell_story(transcript: Transcript, directory: Path, *, policy: Path = POLICY_PATH) -> None:
    """Tell the story with a router whose files are in ``directory``. Raises StoryFailed where it cannot go on."""
    settings = _settings(directory, policy)
    ann = _Ann()
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
            async with RouterSubprocess(settings, directory) as router:
                transcript.say(f"A router process serves at {router.url}; everything below goes through its API.")
                await _first_day(Bank(router.url, settings, http, transcript), transcript, ann)
                transcript.scene("5. The power fails, and two days pass")
                transcript.say("The router is killed (kill -9): it cannot save anything now.")
                await router.kill()
            async with RouterSubprocess(settings, directory, program=_ROUTER_AHEAD) as router:
                transcript.say(
                    "It is started again on the same files, with its clock two days ahead. This is the one thing in the story that "
                    "is not as in production: the demonstration starts the router by a module of its own that shifts the clock."
                )
                await _two_days_later(Bank(router.url, settings, http, transcript), transcript, ann)
    except (aiohttp.ClientError, ClientError, LoadTestFailed, TimeoutError) as error:
        raise StoryFailed(str(error) or type(error).__name__) from error
    _check_files(transcript, directory)


def _settings(directory: Path, policy: Path) -> Settings:
    """Return the default settings with a free port, the same after the restart, and the policy of the story."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    changes = {
        "server.host": "127.0.0.1",
        "server.port": port,
        "telemetry.metrics_port": None,
        "journal.reserved_bytes": 0,
        "policy.seed_path": str(policy),
        # On a busy machine the customer of a contact may take longer than the default of 50 ms.
        "context.submit_wait_ms_max": 5_000,
    }
    return child_settings(Settings(), directory, **changes)


# --- the first day ----------------------------------------------------------------------------------


async def _first_day(bank: Bank, transcript: Transcript, ann: _Ann) -> None:
    await _open_the_centre(bank, transcript)
    async with bank.connected(_AGENTS):
        await _fill_the_lines(bank, transcript)
        await _fail_in_the_app(bank, transcript, ann)
        await _ask_for_an_agent(bank, transcript, ann)
        async with bank.app(ann.token) as app:
            agent = await _choose_chat(bank, transcript, ann, app)
            await _stop_for_today(bank, transcript, ann, app, agent)
        await _end_the_calls(bank)


async def _open_the_centre(bank: Bank, transcript: Transcript) -> None:
    transcript.scene("The bank's contact centre")
    for name, record in _AGENTS.items():
        await bank.call("admin:setup", "PUT", f"/v1/agents/{name}", record)
    transcript.listing(
        [
            ("ada", "payments 8", "on chat duty today"),
            ("ben", "payments 6", "will be on a call"),
            ("cleo", "payments 7", "will be on a call"),
            ("dora", "loans 9", "free all the time, but has no skill for payments"),
        ]
    )


async def _fill_the_lines(bank: Bank, transcript: Transcript) -> None:
    """Give the agents on the telephone a call each, and let one more caller wait."""
    await bank.desktops["dora"].ready()
    for name in ("ben", "cleo"):
        desktop = bank.desktops[name]
        await desktop.ready()
        call = await bank.call(_APP, "POST", "/v1/contacts", {"channel": "voice", "queue_id": "payments"})
        _, offer, _ = await bank.offered(call["contact_id"])
        await desktop.accept(offer.offer_id)
    await bank.desktops["ada"].pause_channels("voice")
    await bank.desktops["ada"].ready()
    await bank.call(_APP, "POST", "/v1/contacts", {"channel": "voice", "queue_id": "payments"})
    transcript.say("Ben and Cleo are on calls about payments, and one more caller waits for them.")


async def _fail_in_the_app(bank: Bank, transcript: Transcript, ann: _Ann) -> None:
    transcript.scene("1. A payment fails in the app")
    transcript.say("Ann has logged in to the app of the bank, and an invoice cannot be paid. The app records what happens.")
    body = {"identities": [_USER, _PHONE]}
    found = await bank.tell(_APP, "POST", "/v1/customers/resolve", body, show=("customer_id", "created", "assurance"))
    ann.customer_id = found["customer_id"]
    await bank.tell(_APP, "PATCH", f"/v1/customers/{ann.customer_id}", {"name": _NAME, "tier": "gold"})
    by = {"customer_id": ann.customer_id, "channel": "app"}
    failed = {"type": "payment", "name": "invoice", "result": "failed", "data": {"reason": "limit", "amount": "1900.00 GBP"}, **by}
    steps = [{"type": "login", "result": "ok", **by}, failed, failed]
    recorded = await bank.tell(_APP, "POST", "/v1/journey", {"steps": steps}, show=("accepted", "rejected"))
    transcript.check("three steps are recorded", 3, recorded["accepted"])


async def _ask_for_an_agent(bank: Bank, transcript: Transcript, ann: _Ann) -> None:
    transcript.scene("2. Ann asks for an agent, and sees what is possible")
    transcript.say("One tap on “talk to us”. The app says who asks and where they are; it names neither a queue nor a skill.")
    context = {"screen": "payments/confirm", "intent": "pay invoice", "summary": "Two attempts were refused: limit"}
    body = {"channel": "voice", "customer": {"identities": [_USER]}, "context": context}
    asked = await bank.tell(_APP, "POST", "/v1/requests", body, show=("request_id", "state", "token", "options"))
    ann.request_id, ann.token = asked["request_id"], asked["token"]
    options = {option["id"]: option for option in asked["options"]}
    transcript.check("Ann can wait for a call, chat, be called back, or stop", ["now", "chat", "callback", "later"], list(options))
    now, chat = options.get("now", {}), options.get("chat", {})
    p50, p90 = (now.get("wait_s", {}).get(name, 0) for name in ("p50", "p90"))
    spoken = f"for a call Ann would be number 2 and wait about {_minutes(p50)}; nine of ten wait at most {_minutes(p90)}"
    transcript.check(spoken, (2, True), (now.get("position"), 0 < p50 < p90))
    transcript.check("for a chat there is no wait", {"p50": 0, "p90": 0}, chat.get("wait_s"))


async def _choose_chat(bank: Bank, transcript: Transcript, ann: _Ann, app: CustomerClient) -> str:
    """Let Ann choose the chat; return the agent who takes it."""
    transcript.scene("3. Ann chooses a chat and reaches an agent who knows everything")
    transcript.say("The app has opened the socket /v1/customer with Ann's token, which is good for this request only.")
    transcript.frame("app", {"type": "choose", "option": "chat"}, is_sent=True)
    await app.choose("chat")
    agent, offer, card = await bank.offered(ann.request_id)
    _print_offer(transcript, agent, offer)
    transcript.card(f"the card that came with the offer to {agent}", card)
    contact = await bank.call(_CENTRE, "GET", f"/v1/contacts/{ann.request_id}")
    transcript.check(
        "the failed payments chose the queue: rule payment-trouble of the policy",
        ("payments", "payment-trouble", {"failed_payments": 2}),
        (contact["queue_id"], contact.get("rule"), contact.get("customer_facts")),
    )
    transcript.check("the offer goes to ada: qualified and free for a chat; dora is idle longer, but not qualified", "ada", agent)
    _check_card(transcript, card, notes=(), steps=3)
    await bank.desktops[agent].accept(offer.offer_id)
    shown = await _shown(app, lambda view: view.state is RequestPhase.CONNECTED)
    _print_state(transcript, shown)
    transcript.check("the app shows the agent's name and nothing else of the centre", "Ada", shown.agent and shown.agent.name)
    transcript.say("They chat (the words go through the bank's chat, not through the router). The agent writes a note for later.")
    note = {"text": _NOTE}
    await bank.tell(f"agent:{agent}", "POST", f"/v1/contacts/{ann.request_id}/notes", note, show=("author",))
    return agent


async def _stop_for_today(bank: Bank, transcript: Transcript, ann: _Ann, app: CustomerClient, agent: str) -> None:
    transcript.scene("4. Ann stops for today")
    transcript.say("The passport is at home. Ann stops, and neither waits nor loses anything.")
    transcript.frame("app", {"type": "suspend_request"}, is_sent=True)
    await app.suspend()
    _print_state(transcript, await _shown(app, lambda view: view.state is RequestPhase.SUSPENDED))
    desktop = bank.desktops[agent]
    (assignment,) = (work for work in desktop.state.assignments.values() if work.contact_id == ann.request_id)
    await desktop.complete(assignment.assignment_id, "waits_for_papers")
    contact = await bank.call(_CENTRE, "GET", f"/v1/contacts/{ann.request_id}")
    transcript.check(
        "the contact is suspended, and no agent has it", ("suspended", None), (contact["state"], contact.get("agent_id"))
    )
    agent_view = await bank.call(_CENTRE, "GET", f"/v1/agents/{agent}")
    transcript.check(f"{agent} is free for others again", 0, agent_view["units_used"])


async def _end_the_calls(bank: Bank) -> None:
    """Let the agents on the telephone end their calls, the one that waited included, and sign off."""
    for name in ("ben", "cleo", "ben"):
        desktop = bank.desktops[name]
        for offer in tuple(desktop.state.offers.values()):
            await desktop.accept(offer.offer_id)
        for work in tuple(desktop.state.assignments.values()):
            await desktop.end(work.contact_id)
            await desktop.complete(work.assignment_id, "resolved")
    for desktop in bank.desktops.values():
        await desktop.not_ready("signed_off")


# --- two days later ---------------------------------------------------------------------------------


async def _two_days_later(bank: Bank, transcript: Transcript, ann: _Ann) -> None:
    contact = await bank.tell(_CENTRE, "GET", f"/v1/contacts/{ann.request_id}", show=("state", "channel", "suspension"))
    transcript.check("the contact has survived", "suspended", contact["state"])
    age_ms = contact["suspension"]["age_ms"]
    transcript.check("its age counts the minutes of waiting, not the two days", True, age_ms < 600_000)
    transcript.scene("6. Ann sends the passport, and calls")
    async with bank.connected(_AGENTS):
        step = {"customer_id": ann.customer_id, "type": "upload", "name": "passport", "result": "ok", "channel": "app"}
        await bank.tell(_APP, "POST", "/v1/journey", {"steps": [step]}, show=("accepted",))
        await bank.desktops["ada"].pause_channels()  # None: calls and chats today.
        for name in ("dora", "ben", "cleo", "ada"):
            await bank.desktops[name].ready()
        transcript.say("All four agents are free, for calls and chats. They became ready in this order: dora, ben, cleo, ada.")
        async with bank.app(ann.token) as app:
            agent = await _go_on_by_telephone(bank, transcript, ann, app)
            await _compare_with_a_stranger(bank, transcript)
            await _finish(bank, transcript, ann, app, agent)


async def _go_on_by_telephone(bank: Bank, transcript: Transcript, ann: _Ann, app: CustomerClient) -> str:
    """Let Ann resume by voice; return the agent who takes the call."""
    transcript.say("Ann taps “go on by telephone”: the same request, another channel. The token is still good.")
    transcript.frame("app", {"type": "resume_request", "channel": "voice"}, is_sent=True)
    await app.resume(channel="voice")
    agent, offer, card = await bank.offered(ann.request_id)
    _print_offer(transcript, agent, offer)
    transcript.card(f"the card that came with the offer to {agent}", card)
    transcript.check("the call goes to ada again, who knows Ann, although ben and cleo have been idle for longer", "ada", agent)
    transcript.check(
        "the channel is another one, the contact is the same", ("voice", ann.request_id), (offer.channel, offer.contact_id)
    )
    _check_card(transcript, card, notes=(_NOTE,), steps=4)
    await bank.desktops[agent].accept(offer.offer_id)
    shown = await _shown(app, lambda view: view.state is RequestPhase.CONNECTED)
    _print_state(transcript, shown)
    return agent


async def _compare_with_a_stranger(bank: Bank, transcript: Transcript) -> None:
    transcript.say("For comparison, the next caller, who is not known: the agent who has been idle for longest.")
    body = {"channel": "voice", "queue_id": "payments"}
    call = await bank.tell(_APP, "POST", "/v1/contacts", body, show=("contact_id", "state"))
    agent, offer, card = await bank.offered(call["contact_id"])
    _print_offer(transcript, agent, offer)
    transcript.check("that call goes to ben, by idle time", "ben", agent)
    transcript.check("nothing of Ann is shown there", (None, ()), (card.customer, card.steps))


async def _finish(bank: Bank, transcript: Transcript, ann: _Ann, app: CustomerClient, agent: str) -> None:
    transcript.scene("7. The payment goes through")
    desktop = bank.desktops[agent]
    await desktop.end(ann.request_id)
    (assignment,) = (work for work in desktop.state.assignments.values() if work.contact_id == ann.request_id)
    await desktop.complete(assignment.assignment_id, "resolved")
    shown = await _shown(app, lambda view: view.outcome is not None)
    _print_state(transcript, shown)
    transcript.check("the request is completed", "completed", shown.outcome)
    events = await _events(bank, ann.request_id)
    transcript.say("The whole history of the contact in the journal, across the restart and the two days:")
    actors = ["customer" if one["actor"].startswith("customer:") else one["actor"] for one in events]
    rows = [(str(one["seq"]), time_text(one["ts"]), one["type"], actor) for one, actor in zip(events, actors, strict=True)]
    transcript.listing([("event", "time (UTC)", "what", "caused by"), *rows])
    names = [one["type"] for one in events]
    counts = [names.count(f"contact.{name}") for name in ("choosing", "suspended", "resumed")]
    transcript.check("one contact: asked for once, suspended once, resumed once", [1, 1, 1], counts)
    transcript.say("Ann has said once who they are (by the login of the app), and told the problem once, by using the app.")


async def _events(bank: Bank, contact_id: str) -> list[dict[str, Any]]:
    page = await bank.call("admin:setup", "GET", "/v1/events?limit=1000")
    return [event for event in page["events"] if event.get("contact_id") == contact_id]


# --- what is compared -------------------------------------------------------------------------------


def _check_card(transcript: Transcript, card: Card, *, notes: tuple[str, ...], steps: int) -> None:
    customer, now = card.customer, card.now
    transcript.check("the card is complete, and Ann is verified", ("complete", "verified"), (card.status, card.assurance))
    transcript.check("it says who asks", (_NAME, "gold"), customer and (customer.name, customer.tier))
    transcript.check("from which screen, and why", ("payments/confirm", "pay invoice"), now and (now.screen, now.intent))
    tried = [(step.type, step.result) for step in card.steps]
    told = [("login", "ok"), ("payment", "failed"), ("payment", "failed"), ("upload", "ok")][:steps]
    transcript.check("what was tried before", told, tried)
    transcript.check(
        "and what agents have noted" if notes else "there are no notes yet", notes, tuple(note.text for note in card.notes)
    )


def _check_files(transcript: Transcript, directory: Path) -> None:
    """Look for personal data in every file that the two processes have written."""
    words = [text.encode() for text in (_NAME, _PHONE["value"], _NOTE, _USER["value"])]
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    found = [path.name for path in files if any(word in path.read_bytes() for word in words)]
    size = sum(path.stat().st_size for path in files)
    transcript.check(f"name, number, note and login are in clear in none of the {len(files)} files ({size:,} bytes)", [], found)


async def _shown(app: CustomerClient, is_it: Callable[[RequestView], bool]) -> RequestView:
    return await until(lambda: app.request if app.request is not None and is_it(app.request) else None, "a state in the app")


def _print_offer(transcript: Transcript, agent: str, offer: CachedOffer) -> None:
    transcript.frame(agent, {"event": {"type": "offer.made", "channel": offer.channel, "queue_id": offer.queue_id}})


def _print_state(transcript: Transcript, view: RequestView) -> None:
    shown: dict[str, Any] = {"state": view.state, "channel": view.channel}
    if view.agent is not None:
        shown["agent"] = {"name": view.agent.name}
    if view.outcome is not None:
        shown["outcome"] = view.outcome
    transcript.frame("app", {"type": "state", "request": shown})


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"
