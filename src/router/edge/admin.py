"""Metrics listener: ``/metrics`` on a separate port, without authentication and bound to loopback by default."""

from aiohttp import web

from router.edge.entrance import SERVER_NAME
from router.model.errors import SettingsInvalid
from router.settings import TelemetrySettings
from router.telemetry.exposition import CONTENT_TYPE, Exposition


class AdminServer:
    """Listener for metrics; it does nothing if the settings have no port."""

    def __init__(self, settings: TelemetrySettings, exposition: Exposition) -> None:
        self._settings = settings
        self._exposition = exposition
        self._runner: web.AppRunner | None = None
        self.port: int | None = None

    async def start(self) -> None:
        """Start listening. Raises SettingsInvalid if the address cannot be bound."""
        if self._settings.metrics_port is None:
            return
        app = web.Application(client_max_size=1024)
        app.router.add_route("GET", "/metrics", self._metrics)
        self._runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=30.0, shutdown_timeout=1.0
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.metrics_host, self._settings.metrics_port)
        try:
            await site.start()
        except OSError as error:
            await self.close()
            raise SettingsInvalid(f"$.telemetry.metrics_port: {error.strerror}") from None
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _metrics(self, _request: web.Request) -> web.StreamResponse:
        page = await self._exposition.page()
        return web.Response(
            body=page,
            headers={
                "Content-Type": CONTENT_TYPE,
                "Cache-Control": "no-store",
                "Server": SERVER_NAME,
            },
        )
