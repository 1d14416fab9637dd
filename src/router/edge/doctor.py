"""API operation: diagnosis of the workspace."""

from router.edge.call import Answer, Call


async def diagnose(request: Call) -> Answer:
    """Diagnose the workspace: unroutable contacts, queues without agents, agents without work, ineffective rules."""
    clock = request.backend.writer.clock
    # Waits are measured up to now; the last command may be long ago.
    answered = await request.ask(lambda engine: engine.diagnose(at_ms=clock.now_ms()))
    return Answer(body=answered.value)
