"""Asset Management, as much of it as a hint needs: one asset is read by its id.

``GET …/api/assetmanagement/v3/assets/{id}`` with an application's token: the assets are those that messages of the
token's tenant speak of, another tenant's do not exist for it. Path and members follow the Asset Management API;
which scope it asks for is not published, so none is (docs/fidelity.md, A35).
"""

from __future__ import annotations

from functools import lru_cache

from aiohttp import web

from emulator.faults import Faults
from emulator.knobs import Panel
from emulator.mindsphere.access import Access
from emulator.mindsphere.errors import PlatformError, guarded
from emulator.mindsphere.registry import Registry
from emulator.mindsphere.tokenmanager import fail_if_struck
from emulator.mindsphere.topics import TYPE_NAMES, asset_id

FLEETS_KEPT = 64  # ids of so many tenants; making them again costs microseconds each


class Assets:
    """Reading only: nothing here makes or changes an asset."""

    def __init__(self, registry: Registry, access: Access, faults: Faults, panel: Panel) -> None:
        self._registry = registry
        self._access = access
        self._faults = faults
        self._panel = panel

    def routes(self) -> list[web.RouteDef]:
        handler = guarded(self.asset)
        return [web.get(f"{base}/api/assetmanagement/v3/assets/{{id}}", handler) for base in ("", "/gateway")]

    async def asset(self, request: web.Request) -> web.StreamResponse:
        fail_if_struck(self._faults)
        tenant = self._tenant(request)
        id = request.match_info["id"]
        number = _fleet(tenant, self._panel.now.assets_per_tenant).get(id)
        if number is None:
            raise PlatformError("noMatch", f"there is no asset {id[:64]} in this tenant")
        return web.json_response(
            {
                "assetId": id,
                "tenantId": tenant,
                "name": f"Asset {number}",
                "typeId": f"{tenant}.{TYPE_NAMES[number % len(TYPE_NAMES)]}",
                "etag": 1,
            }
        )

    def _tenant(self, request: web.Request) -> str:
        """Whom the caller speaks for: an application, in a tenant that has it."""
        caller = self._access.caller(request)
        application = self._registry.application(caller.client_id)
        if application is None or not self._registry.may_act_for(application, caller.tenant):
            raise PlatformError("forbidden", "this needs an application's token for a tenant that has it")
        return caller.tenant


@lru_cache(FLEETS_KEPT)
def _fleet(tenant: str, count: int) -> dict[str, int]:
    return {asset_id(tenant, number): number for number in range(count)}
