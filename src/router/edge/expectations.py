"""Expected wait over a WebSocket: an engine query with one ``ok`` or ``error`` reply."""

from router.core.engine import Engine
from router.edge.asks import problem_frame
from router.edge.auth import Credential
from router.edge.problems import code_of
from router.model.forecasts import ExpectedWait
from router.model.refusals import Refused
from router.runtime.writer import Writer
from router.wire.frames import AskExpectedWait, ErrorFrame, Ok


async def expected_wait_answer(
    writer: Writer, ask: AskExpectedWait, credential: Credential
) -> Ok | ErrorFrame:
    """Return the reply to an expected-wait request. Raises the exceptions of ``Writer.ask``."""
    # To a gateway, the contact of another gateway must look like one that does not exist.
    gateway_id = credential.subject if credential.role == "gateway" else None
    now_ms = writer.clock.now_ms()

    def query(engine: Engine) -> ExpectedWait | Refused | None:
        if ask.contact_id is None:
            assert ask.queue_id is not None
            return engine.expected_wait(
                ask.queue_id,
                channel=ask.channel,
                skills=ask.skills,
                priority_s=ask.priority_s,
                strict_class=ask.strict_class,
                at_ms=now_ms,
            )
        view = engine.contact(ask.contact_id)
        if view is None or (gateway_id is not None and view.gateway_id != gateway_id):
            return None
        return view.expected_wait or ExpectedWait(reason="not_waiting")

    answered = await writer.ask(credential.workspace, query)
    result = answered.value
    if result is None:
        return problem_frame("unknown_contact", ask.id, field="contact_id")
    if isinstance(result, Refused):
        return problem_frame(code_of(result.code), ask.id, detail=result.detail, field=result.field)
    subject = ask.contact_id or ask.queue_id or ""
    return Ok(id=ask.id, seq=answered.seq, subject=subject, expected_wait=result)
