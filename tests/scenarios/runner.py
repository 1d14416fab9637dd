"""Runner of scenarios: executes the commands on an engine in virtual time and compares the events with the expected lines."""

from copy import deepcopy
from typing import NoReturn

from router.model import commands as c
from router.model import events as e
from router.model.commands import CallbackFields
from router.model.policy import CallbackMode
from router.model.results import Outcome, Refused
from router.model.states import AgentState, CallbackOutcome, OfferState
from tests.scenarios.event_text import EventDescriber, is_implied
from tests.scenarios.grammar import Scenario, ScenarioStep, clock, seconds_of, time_of_day, words_and_settings
from tests.scenarios.policy_lines import KINDS, Draft, fact_value, levels, names, signed_seconds
from tests.support.builders import START_MS
from tests.support.world import World


class ScenarioDiffers(AssertionError):
    """The outcome is not what the scenario says; the message is the scenario's text with the line marked."""


class Runner:
    """Runs one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._world = World()
        self._start_ms = scenario.start_ms or START_MS
        self._world.at_ms = self._start_ms
        self._describer = EventDescriber(self._start_ms)
        self._draft = Draft()
        self._draft.declare(scenario.text)
        self._in_force = deepcopy(self._draft)

    def play(self) -> None:
        """Run the scenario from the first to the last line. Raises ScenarioDiffers at the first difference."""
        for place, step in enumerate(self._scenario.steps):
            lines, implied = self._advance_to(step)
            kind = (step.command or "").split(" ")[0]
            following = self._scenario.steps[place + 1 :]
            if kind in KINDS:
                self._read_policy(step)
                more = bool(following) and following[0].at_s == step.at_s
                if more and (following[0].command or "").split(" ")[0] in KINDS and not step.expected:
                    continue
                more_lines, more_implied = self._publish(step)
            elif step.command is not None:
                more_lines, more_implied = self._execute_line(step)
            else:
                more_lines, more_implied = [], []
            self._compare(step, lines + more_lines, implied + more_implied)

    # --- time ---------------------------------------------------------------------------------------------------------
    def _advance_to(self, step: ScenarioStep) -> tuple[list[str], list[str]]:
        """Advance the time to the step and return what happens then; before it, nothing unexpected may happen."""
        at_ms = self._start_ms + step.at_s * 1000
        while (due_ms := self._world.engine.next_deadline_ms()) is not None and due_ms < at_ms:
            events = self._world.later((due_ms - self._world.at_ms) / 1000)
            lines = [text for event in events if (text := self._describer.describe(event, due_ms))]
            if lines:
                when = clock((due_ms - self._start_ms) // 1000)
                self._differs(step, "\n".join(f"before it, at {when}: {text}" for text in lines))
        events = self._world.later((at_ms - self._world.at_ms) / 1000)
        return self._describe_all(events, None)

    def _describe_all(self, events: list[e.Event], command: c.Command | None) -> tuple[list[str], list[str]]:
        lines: list[str] = []
        implied: list[str] = []
        for event in events:
            text = self._describer.describe(event, self._world.at_ms)
            if text is not None:
                (implied if is_implied(event, command) else lines).append(text)
        return lines, implied

    # --- policy -------------------------------------------------------------------------------------------------------
    def _read_policy(self, step: ScenarioStep) -> None:
        try:
            self._draft.read(step.command or "")
        except (ValueError, KeyError) as error:
            self._differs(step, str(error))

    def _publish(self, step: ScenarioStep) -> tuple[list[str], list[str]]:
        drain_to, self._draft.drain_to = self._draft.drain_to, {}
        version = self._world.engine.policy_version
        command = c.PublishPolicy(policy=self._draft.policy(), drain_to=drain_to)
        answer = self._execute(step, command)
        if self._world.engine.policy_version == version:
            self._draft = deepcopy(self._in_force)  # Refused: the former policy stays active.
        self._in_force = deepcopy(self._draft)
        return answer

    def _execute(self, step: ScenarioStep, command: c.Command) -> tuple[list[str], list[str]]:
        outcome: Outcome = self._world.do(command)
        lines, implied = self._describe_all(outcome.events, command)
        if isinstance(outcome.result, Refused):
            lines.append(f"refused ({outcome.result.code.name.lower()})")
        return lines, implied

    # --- commands -----------------------------------------------------------------------------------------------------
    def _execute_line(self, step: ScenarioStep) -> tuple[list[str], list[str]]:
        lines: list[str] = []
        implied: list[str] = []
        try:
            for command in self._commands(step.command or ""):
                more_lines, more_implied = self._execute(step, command)
                lines += more_lines
                implied += more_implied
        except (ValueError, KeyError) as error:
            self._differs(step, str(error))
        return lines, implied

    def _commands(self, text: str) -> list[c.Command]:
        reason = None
        if text.endswith(")") and " (" in text:
            text, _, reason = text[:-1].rpartition(" (")
        words, settings = words_and_settings(text)
        match words:
            case ["contact", contact_id, "enters", *queue] if len(queue) <= 1:
                return [self._enter(contact_id, queue[0] if queue else None, settings)]
            case ["contact", contact_id, "changes"]:
                return [self._change(contact_id, settings)]
            case ["customer", "of", contact_id, "wants", "a", "callback"]:
                terms = self._terms(settings)
                _nothing_left(settings)
                return [c.RequestCallback(contact_id=contact_id, callback=terms)]
            case ["gateway", "reports", contact_id, outcome]:
                return [c.ReportCallback(contact_id=contact_id, outcome=CallbackOutcome(outcome))]
            case ["customer", "of", contact_id, "leaves"]:
                return [c.AbandonContact(contact_id=contact_id)]
            case ["gateway", "cancels", contact_id]:
                return [c.CancelContact(contact_id=contact_id)]
            case ["gateway", "parks", contact_id]:
                return [c.ParkContact(contact_id=contact_id)]
            case ["gateway", "unparks", contact_id]:
                return [c.UnparkContact(contact_id=contact_id)]
            case ["desktop", "of", agent_id, verb, *session]:
                return [self._desktop(agent_id, verb, session[0] if session else "one")]
            case ["agent", agent_id, *rest]:
                return self._agent(agent_id, rest, settings, reason)
            case ["supervisor", ("opens" | "closes" | "leaves") as verb, queue_id, *rest]:
                return [_turn(verb, queue_id, rest)]
            case [agent_id, verb, "the", "consult", "on", contact_id]:
                return [_consult(agent_id, verb, contact_id)]
            case ["supervisor", "adds", agent_id, "to", contact_id]:
                return [c.AddParticipant(contact_id=contact_id, agent_id=agent_id)]
            case ["supervisor", "removes", agent_id, "from", contact_id]:
                return [c.LeaveContact(contact_id=contact_id, agent_id=agent_id, reason="removed")]
            case ["supervisor", verb, contact_id, *rest]:
                return [self._supervisor(verb, contact_id, rest)]
            case [agent_id, verb, contact_id, *rest]:
                return [self._work(agent_id, verb, contact_id, rest, reason)]
            case _:
                raise ValueError("this line cannot be read")

    def _enter(self, contact_id: str, queue_id: str | None, settings: dict[str, str]) -> c.EnqueueContact:
        ttl = settings.pop("ttl", None)
        command = c.EnqueueContact(
            contact_id=contact_id,
            channel=settings.pop("channel", "voice"),
            queue_id=queue_id,
            skills=levels(settings.pop("needs", "")),
            priority_s=signed_seconds(settings.pop("priority", "0")),
            priority_class=int(settings.pop("class", "0")),
            ttl_s=None if ttl is None else seconds_of(ttl),
            callback=self._terms(settings) if {"mode", "at"} & settings.keys() else None,
            attributes=_facts(settings),
            preferred_agents=tuple(filter(None, settings.pop("prefers", "").split(","))),
            continues_contact_id=settings.pop("continues", None),
        )
        _nothing_left(settings)
        return command

    def _terms(self, settings: dict[str, str]) -> CallbackFields:
        """Return the callback fields of ``mode=customer_first channel=outbound at=10:00``."""
        mode, at = settings.pop("mode", None), settings.pop("at", None)
        return CallbackFields(
            mode=None if mode is None else CallbackMode(mode),
            channel=settings.pop("channel", None),
            at_ms=None if at is None else self._start_ms + 1000 * time_of_day(at),
        )

    def _change(self, contact_id: str, settings: dict[str, str]) -> c.UpdateContact:
        changes: dict[str, object] = {}
        if "priority" in settings:
            changes["priority_s"] = signed_seconds(settings.pop("priority"))
        if "class" in settings:
            changes["priority_class"] = int(settings.pop("class"))
        if "needs" in settings:
            changes["skills"] = levels(settings.pop("needs"))
        _nothing_left(settings)
        return c.UpdateContact(contact_id=contact_id, **changes)  # type: ignore[arg-type]

    def _agent(self, agent_id: str, words: list[str], settings: dict[str, str], reason: str | None) -> list[c.Command]:
        commands: list[c.Command] = []
        if settings or self._world.engine.agent(agent_id) is None:
            commands.append(_record(agent_id, settings))
        match words:
            case ["removed"]:
                return [c.RemoveAgent(agent_id=agent_id)]
            case ["pauses", channels]:
                paused = () if channels == "nothing" else names(channels)
                return [*commands, c.SetAgentChannels(agent_id=agent_id, paused=paused)]
            case [("ready" | "not_ready" | "offline") as state, *after]:
                if after not in ([], ["after", "work"]):
                    raise ValueError("after the state, only `after work` may follow")
                commands.append(c.SetAgentState(agent_id=agent_id, state=AgentState(state), reason=reason, after_work=bool(after)))
            case [] if commands:
                pass
            case _:
                raise ValueError("an agent is ready, not_ready, offline or removed, or pauses channels")
        return commands

    def _desktop(self, agent_id: str, verb: str, session_id: str) -> c.Command:
        if verb == "connects":
            return c.ConnectDesktop(agent_id=agent_id, session_id=session_id)
        if verb == "vanishes":
            return c.LoseDesktop(agent_id=agent_id, session_id=session_id)
        raise ValueError("a desktop connects or vanishes")

    def _supervisor(self, verb: str, contact_id: str, rest: list[str]) -> c.Command:
        match verb, rest:
            case "requeues", []:
                return c.RequeueContact(contact_id=contact_id)
            case "requeues", ["to", queue_id]:
                return c.RequeueContact(contact_id=contact_id, queue_id=queue_id)
            case "assigns", ["to", agent_id]:
                return c.AssignContact(contact_id=contact_id, agent_id=agent_id)
            case "ends", []:
                return c.EndContact(contact_id=contact_id, reason="supervisor")
            case "completes", []:
                return c.CompleteAssignment(assignment_id=self._latest_id(contact_id, None))
            case _:
                raise ValueError("a supervisor requeues, assigns, ends or completes")

    def _work(self, agent_id: str, verb: str, contact_id: str, rest: list[str], reason: str | None) -> c.Command:
        converse = self._converse(agent_id, verb, contact_id, rest)
        if converse is not None:
            return converse
        thing = self._latest_id(contact_id, agent_id)
        match verb, rest:
            case "accepts", []:
                return c.AcceptOffer(offer_id=thing, agent_id=agent_id)
            case "declines", []:
                return c.DeclineOffer(offer_id=thing, agent_id=agent_id)
            case "holds", []:
                return c.HoldAssignment(assignment_id=thing, agent_id=agent_id)
            case "resumes", []:
                return c.ResumeAssignment(assignment_id=thing, agent_id=agent_id)
            case "parks", []:
                return c.ParkAssignment(assignment_id=thing, agent_id=agent_id)
            case "unparks", []:
                return c.UnparkAssignment(assignment_id=thing, agent_id=agent_id)
            case "ends", []:
                return c.EndContact(contact_id=contact_id, agent_id=agent_id)
            case "completes", []:
                return c.CompleteAssignment(assignment_id=thing, agent_id=agent_id, disposition=reason)
            case "extends", [*_, duration]:
                return c.ExtendWrapUp(assignment_id=thing, agent_id=agent_id, extend_s=seconds_of(duration))
            case "transfers", ["to", "queue", queue_id]:
                return c.TransferContact(contact_id=contact_id, to_queue_id=queue_id, agent_id=agent_id)
            case "transfers", ["to", "agent", other, *waits]:
                limits = {name: seconds_of(text) for name, text in zip(waits[::2], waits[1::2], strict=True)}
                return c.TransferContact(
                    contact_id=contact_id,
                    to_agent_id=other,
                    agent_id=agent_id,
                    wait_s=limits.get("wait"),
                    return_to_sender_s=limits.get("back"),
                )
            case _:
                raise ValueError(f"the command {verb!r} does not exist")

    @staticmethod
    def _converse(agent_id: str, verb: str, contact_id: str, rest: list[str]) -> c.Command | None:
        """Return the command for a line about a conversation of several agents; none for other lines."""
        match verb, rest:
            case "leaves", []:
                return c.LeaveContact(contact_id=contact_id, agent_id=agent_id)
            case "passes", ["to", other]:
                return c.HandOverContact(contact_id=contact_id, to_agent_id=other, agent_id=agent_id)
            case "consults", ["with", "agent", other]:
                return c.StartConsult(contact_id=contact_id, to_agent_id=other, agent_id=agent_id)
            case "consults", ["with", "queue", queue_id]:
                return c.StartConsult(contact_id=contact_id, to_queue_id=queue_id, agent_id=agent_id)
            case _:
                return None

    def _latest_id(self, contact_id: str, agent_id: str | None) -> str:
        """Return the id of the latest offer or assignment of this contact (with this agent)."""
        reference = self._world.reference
        found = [
            one
            for one in (*reference.offers, *reference.assignments)
            if one.rpartition(".")[0] == contact_id
            and agent_id
            in (
                None,
                getattr(reference.offers.get(one), "agent_id", None),
                getattr(reference.assignments.get(one), "agent_id", None),
            )
        ]
        live = [one for one in found if one in reference.offers and reference.offers[one].state is OfferState.PENDING]
        if not found:
            raise ValueError(f"{agent_id} never had {contact_id}")
        return (live or sorted(found, key=lambda one: int(one.rpartition(".")[2])))[-1]

    # --- comparison ---------------------------------------------------------------------------------------------------
    def _compare(self, step: ScenarioStep, lines: list[str], implied: list[str]) -> None:
        """Compare the expected lines with the events of the step, in any order; no other event may occur."""
        missing, optional = list(lines), list(implied)
        for line in step.expected:
            if line.text.startswith("waiting in "):
                self._compare_waiting(step, line.text)
            elif line.text.startswith("wait of "):
                self._compare_wait_of(step, line.text)
            elif line.text in missing:
                missing.remove(line.text)
            elif line.text in optional:
                optional.remove(line.text)
            else:
                happened = "\n".join(f"instead: {text}" for text in missing) or "no event occurred"
                raise ScenarioDiffers(self._scenario.with_mark(line, happened))
        if missing:
            self._differs(step, "\n".join(f"also happened: {text}" for text in missing))

    def _compare_waiting(self, step: ScenarioStep, text: str) -> None:
        """Compare ``waiting in support: c2 c1`` with the contacts that wait, next one first."""
        queue_id, _, wanted = text.removeprefix("waiting in ").partition(":")
        reference = self._world.reference
        waiting = [one for one in reference.waiting_in_order() if one.queue_id == queue_id]
        places = {
            one.contact_id: view.position
            for one in waiting
            if (view := self._world.engine.contact(one.contact_id)) and view.position
        }
        line = sorted(places, key=lambda name: places[name] or 0)
        if line != wanted.split():
            self._differs(step, f"waiting in {queue_id} are: {' '.join(line)}")

    def _compare_wait_of(self, step: ScenarioStep, text: str) -> None:
        """Compare ``wait of c1: 46s to 112s, median 74s`` with the estimate of a waiting contact, or with the reason for none."""
        contact_id, _, wanted = text.removeprefix("wait of ").partition(": ")
        view = self._world.engine.contact(contact_id)
        found = None if view is None else view.expected_wait
        if found is None or found.interval_50 is None or found.p50_ms is None:
            shown = "unknown" if found is None else found.reason
        else:
            half = found.interval_50
            low, high, middle = (round(ms / 1000) for ms in (half.low_ms, half.high_ms, found.p50_ms))
            shown = f"{low}s to {high}s, median {middle}s"
        if shown != wanted:
            self._differs(step, f"the wait of {contact_id} is: {shown}")

    def _differs(self, step: ScenarioStep, complaint: str) -> NoReturn:
        raise ScenarioDiffers(self._scenario.with_mark(step.line, complaint))


def _turn(verb: str, queue_id: str, rest: list[str]) -> c.SetQueueOpen:
    match verb, rest:
        case (("opens" | "closes"), []):
            return c.SetQueueOpen(queue_id=queue_id, is_open=verb == "opens")
        case (("opens" | "closes"), ["for", duration]):
            return c.SetQueueOpen(queue_id=queue_id, is_open=verb == "opens", duration_s=seconds_of(duration))
        case "leaves", ["to", "its", "hours"]:
            return c.SetQueueOpen(queue_id=queue_id)
        case _:
            raise ValueError("opens or closes a queue (for 10min), or leaves it to its hours")


def _consult(agent_id: str, verb: str, contact_id: str) -> c.Command:
    commands: dict[str, type[c.CompleteConsult | c.CancelConsult | c.JoinConsult]] = {
        "completes": c.CompleteConsult,
        "cancels": c.CancelConsult,
        "joins": c.JoinConsult,
    }
    if verb not in commands:
        raise ValueError("a consult is completed, cancelled or joined")
    return commands[verb](contact_id=contact_id, agent_id=agent_id)


def _facts(settings: dict[str, str]) -> dict[str, bool | int | str]:
    keys = [key for key in settings if key.startswith("fact.")]
    return {key.removeprefix("fact."): fact_value(settings.pop(key)) for key in keys}


def _record(agent_id: str, settings: dict[str, str]) -> c.PutAgent:
    units, queues = settings.pop("units", None), settings.pop("queues", None)
    command = c.PutAgent(
        agent_id=agent_id,
        skills=levels(settings.pop("skills", "")),
        queues=None if queues is None else names(queues),
        units=None if units is None else int(units),
        channel_max=levels(settings.pop("channel_max", "")),
        attributes=_facts(settings),
        queue_ranks=levels(settings.pop("ranks", "")),
    )
    _nothing_left(settings)
    return command


def _nothing_left(settings: dict[str, str]) -> None:
    if settings:
        raise ValueError(f"{', '.join(settings)}: not allowed here")
