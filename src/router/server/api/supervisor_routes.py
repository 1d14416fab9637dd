"""Routes of what supervisors see and do with many agents and contacts at once: filtered lists, waiting lists and bulk acts."""

from typing import Final

from router.model.filters import BulkPreview, BulkReceipt
from router.server.api.agent_lists import AgentChange, AgentList, AgentsQuery, list_agents, update_agent
from router.server.api.bodies import AgentReceipt
from router.server.api.bulk import BulkPreviewRequest, BulkRequest, execute_bulk, preview_bulk
from router.server.api.route import Route
from router.server.api.waiting_list import WaitingList, WaitingQuery, list_waiting

SUPERVISOR_ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/bulk/preview",
        operation=preview_bulk,
        body_type=BulkPreviewRequest,
        response_type=BulkPreview,
        tag="bulk",
    ),
    Route(
        method="POST",
        path="/v1/bulk",
        operation=execute_bulk,
        body_type=BulkRequest,
        response_type=BulkReceipt,
        tag="bulk",
        problem_codes=("precondition_required",),
    ),
    Route(
        method="GET",
        path="/v1/queues/{queue_id}/waiting",
        operation=list_waiting,
        response_type=WaitingList,
        query_type=WaitingQuery,
        tag="queues",
        problem_codes=("unknown_queue",),
    ),
    Route(method="GET", path="/v1/agents", operation=list_agents, response_type=AgentList, query_type=AgentsQuery, tag="agents"),
    Route(
        method="PATCH",
        path="/v1/agents/{agent_id}",
        operation=update_agent,
        body_type=AgentChange,
        response_type=AgentReceipt,
        tag="agents",
        problem_codes=("unknown_agent", "unknown_skill", "unknown_queue", "unknown_channel", "unknown_fact"),
    ),
)
