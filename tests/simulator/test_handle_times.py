"""Handle times by agent: the estimate against known factors, and its effect on a simulated day."""

from pathlib import Path
from random import Random

import pytest
from msgspec import structs

from router.model.events.agent import OfferAccepted
from router.simulator.day import PlannedContact, WorkloadInvalid
from router.simulator.handle_times import HandleTimeSource, agent_factors, by_agent
from router.simulator.run import SimulationSpec, simulate
from tests.support.simulated_days import SimulatedRun, a_contact, a_day, an_agent


def served_contacts(factors: dict[str, float], *, each: int, seed: int = 1) -> list[PlannedContact]:
    """Return contacts of a slow and a quick queue, served by agents with these factors; lognormal, as spread out as their mean."""
    dice, found = Random(seed), []
    for number in range(each):
        for agent_id, factor in factors.items():
            queue_id, mean_s = (("slow", 400), ("quick", 100))[number % 2]
            handle_s = mean_s * factor * dice.lognormvariate(-0.3466, 0.8326)
            found.append(
                a_contact(f"{agent_id}.{number}", number, handle_s=handle_s, queue_id=queue_id, waited_ms=0, served_by=agent_id)
            )
    return found


def test_factors_are_found_behind_the_noise_of_handle_times() -> None:
    true = {f"a{n:02}": (0.7, 1.0, 1.3)[n % 3] for n in range(30)}
    found = agent_factors(served_contacts(true, each=300))
    assert list(found) == sorted(true)
    for agent_id, factor in true.items():
        assert found[agent_id] == pytest.approx(factor, rel=0.15)


def test_the_estimate_of_three_agents_is_the_one_computed_by_hand() -> None:
    """Check the Bühlmann–Straub estimate: 4, 2 and 2 contacts of 90 ± 10, 100 ± 20 and 120 ± 20 s, so the mean is 100."""
    handled = {"ada": (80, 100, 80, 100), "bob": (80, 120), "eve": (100, 140)}
    contacts = [
        a_contact(f"{agent_id}.{number}", number, handle_s=handle_s, waited_ms=0, served_by=agent_id)
        for agent_id, times in handled.items()
        for number, handle_s in enumerate(times)
    ]
    # In units of the mean: within = (4 · 0.1² + 2 · 0.2² + 2 · 0.2²) / (8 - 3), spread = 4 · 0.1² + 0 + 2 · 0.2².
    within, spread = 0.2 / 5, 0.12
    between = (spread - 2 * within) / (8 - (16 + 4 + 4) / 8)
    factors = {
        agent_id: 1 + count / (count + within / between) * (mean - 1)
        for agent_id, count, mean in (("ada", 4, 0.9), ("bob", 2, 1.0), ("eve", 2, 1.2))
    }
    scale = (4 * 0.9 / factors["ada"] + 2 * 1.0 / factors["bob"] + 2 * 1.2 / factors["eve"]) / 8
    found = agent_factors(contacts)
    assert found == {agent_id: pytest.approx(factor * scale, abs=1e-6) for agent_id, factor in factors.items()}
    assert found["ada"] < found["bob"] < found["eve"]


def test_equal_agents_have_factors_of_one() -> None:
    """By chance alone, the plain means of ten contacts would be off by a third."""
    found = agent_factors(served_contacts({f"a{n:02}": 1.0 for n in range(40)}, each=10))
    assert max(abs(factor - 1) for factor in found.values()) < 0.12


def test_an_agent_with_few_contacts_is_taken_as_nearly_average() -> None:
    many = served_contacts({f"a{n:02}": (0.7, 1.3)[n % 2] for n in range(20)}, each=200)
    few = [a_contact(f"new.{n}", n, handle_s=1_200, queue_id="slow", waited_ms=0, served_by="new") for n in range(2)]
    found = agent_factors([*many, *few])
    assert 1.0 < found["new"] < 1.8, "three times the mean, but of two contacts only"


def test_contacts_that_were_not_served_say_nothing() -> None:
    contacts = served_contacts({"ada": 1.0, "bob": 1.0}, each=20)
    left = [structs.replace(c, contact_id=f"left.{c.contact_id}", handle_ms=10**9, waited_ms=None, patience_ms=1) for c in contacts]
    assert agent_factors([*contacts, *left]) == agent_factors(contacts)
    assert agent_factors(left) == {}


def test_the_recorded_agent_takes_the_recorded_time() -> None:
    contacts = served_contacts({"ada": 0.6, "bob": 1.6, "eve": 1.0}, each=100)
    split, agents, note = by_agent(contacts, [an_agent("ada"), an_agent("bob"), an_agent("eve"), an_agent("zoe")])
    quick = {agent.agent_id: agent for agent in agents}
    for before, after in zip(contacts, split, strict=True):
        assert before.served_by is not None
        assert quick[before.served_by].handle_ms(after) == pytest.approx(before.handle_ms, abs=1)
    assert quick["zoe"].handle_factor == 1.0, "the log has no contact of this agent"
    assert sum(c.handle_ms for c in split) == pytest.approx(sum(c.handle_ms for c in contacts), rel=0.1)
    assert note.startswith("handle times by agent: 3 agents, factors from 0.6")


def test_a_log_without_agents_of_contacts_is_told() -> None:
    (contact,), _, note = by_agent([a_contact("c1", 0, waited_ms=0)], [an_agent()])
    assert contact.handle_ms == 60_000 and "does not tell who served" in note


def test_a_slow_agent_takes_longer_for_the_same_contact() -> None:
    run = SimulatedRun(a_day(a_contact("c1", 0, handle_s=60), a_contact("c2", 10), agents=(an_agent(handle_factor=1.5),)))
    assert run.of(OfferAccepted) == [(0, "c1"), (90, "c2")]
    assert run.auditor.violations == []


# --- from outside -----------------------------------------------------------------------------------------------------

AGENTS = "agent_id,shifts\nada,0-7200\nbob,0-7200\n"


def a_log(folder: Path) -> tuple[str, ...]:
    """Write a day in which bob takes three times as long as ada, and return its logs."""
    dice, lines = Random(5), ["arrival,queue,handle_s,wait_s,agent_id"]
    for number in range(60):
        agent_id, mean_s = (("ada", 30), ("bob", 90))[number % 2]
        lines.append(f"{number * 120},calls,{mean_s * dice.uniform(0.9, 1.1):.1f},0,{agent_id}")
    (folder / "day.csv").write_text("\n".join(lines))
    (folder / "team.csv").write_text(AGENTS)
    return f"contacts:{folder / 'day.csv'}", f"agents:{folder / 'team.csv'}"


def test_a_policy_that_prefers_an_agent_gets_the_times_of_that_agent(tmp_path: Path) -> None:
    """Given all contacts, ada needs half of the recorded mean of 60 s; by recorded times, 60 s as before."""
    policy = tmp_path / "ada_first.yaml"
    policy.write_text("channels: {voice: {auto_accept: true}}\nskills: [quick]\nqueues: {calls: {selection: least_flexible}}\n")
    logs = a_log(tmp_path)
    (tmp_path / "team.csv").write_text("agent_id,skills,shifts\nada,,0-7200\nbob,quick:5,0-7200\n")
    spec = SimulationSpec(logs=logs, policy=str(policy))
    recorded = simulate(spec)
    by_their_agent = simulate(structs.replace(spec, handle_times=HandleTimeSource.BY_AGENT))
    assert recorded.mean_handle_s == pytest.approx(60, rel=0.05)
    assert by_their_agent.mean_handle_s == pytest.approx(30, rel=0.1)
    assert by_their_agent.options["handle_times"] == "by-agent"
    assert any(note.startswith("handle times by agent: 2 agents") for note in by_their_agent.notes)
    assert by_their_agent.audit.violations == ()


def test_factors_can_be_given_in_the_log_of_agents(tmp_path: Path) -> None:
    logs = a_log(tmp_path)
    (tmp_path / "team.csv").write_text("agent_id,shifts,handle_factor\nada,0-7200,2\n")
    report = simulate(SimulationSpec(logs=logs))
    assert report.mean_handle_s == pytest.approx(120, rel=0.05)


def test_an_agent_of_a_customer_who_was_not_served_is_refused(tmp_path: Path) -> None:
    logs = a_log(tmp_path)
    (tmp_path / "day.csv").write_text("arrival,queue,handle_s,agent_id\n0,calls,10,ada\n")
    with pytest.raises(WorkloadInvalid, match="give wait_s"):
        simulate(SimulationSpec(logs=logs))


def test_a_workload_has_its_own_handle_times(tmp_path: Path) -> None:
    with pytest.raises(WorkloadInvalid, match="use these options with logs"):
        simulate(SimulationSpec(workload=str(tmp_path / "day.yaml"), handle_times=HandleTimeSource.BY_AGENT))


ACW = """\
arrival,queue,handle_s,wait_s,agent_id,wrap_up_s
2026-03-10T08:00:00Z,calls,60,10,ada,30
2026-03-10T08:05:00Z,calls,60,0,ada,50
2026-03-10T08:10:00Z,chats,60,0,ada,
"""
DUTY = "agent_id,shifts\nada,2026-03-10T08:00:00Z/2026-03-10T10:00:00Z\n"


def test_a_note_says_when_the_log_has_another_wrap_up_than_the_policy(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(ACW)
    (tmp_path / "a.csv").write_text(DUTY)
    logs = (f"contacts:{tmp_path}/c.csv", f"agents:{tmp_path}/a.csv")

    def notes(wrap_up_s: int | None) -> list[str]:
        return [note for note in simulate(SimulationSpec(logs=logs, wrap_up_s=wrap_up_s)).notes if "wrap-up" in note]

    (note,) = notes(None)
    assert note == (
        "agents took 40 s of wrap-up on average in the log, and the policy gives them 0 s, which is simulated: "
        "--wrap-up 40s is nearer to the log"
    )
    assert notes(40) == notes(38) == []
    assert len(notes(120)) == 1
    (tmp_path / "c.csv").write_text(ACW.replace(",30\n", ",\n").replace(",50\n", ",\n"))
    assert notes(None) == [], "a log without it"
