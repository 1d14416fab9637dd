"""The diagnosis over HTTP: what in the workspace cannot work."""

from router.edge.call import Answer, Call


async def diagnose(call: Call) -> Answer:
    """What is not as it should be: contacts nobody can take, queues without agents, agents without work, rules without effect."""
    clock = call.backend.writer.clock
    # Waits are counted to now: the last step may be long ago.
    answered = await call.ask(lambda engine: engine.diagnose(at_ms=clock.now_ms()))
    return Answer(body=answered.value)
