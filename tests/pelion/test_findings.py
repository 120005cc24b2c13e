"""What a check says of each channel; the commands' tests show the rest."""

from __future__ import annotations

from subscriber.pelion.findings import channel_findings, is_emulated
from subscriber.settings import PelionSettings, Settings
from subscriber.store import Finding
from tests.pelion.conftest import CELLAR, MakeOffice, World


def settings_of(world: World, mode: str = "websocket") -> PelionSettings:
    settings = Settings.from_environ(world.environ(world.channel(mode=mode))).pelion
    assert settings is not None
    return settings


def found(office_with: MakeOffice, world: World, mode: str = "websocket") -> list[Finding]:
    office = office_with(world.channel(mode=mode), by_hand=True)
    settings = settings_of(world, mode)
    return list(channel_findings(settings.channels, office.applications, office.standing))


def test_a_channel_that_stands_as_configured_is_fine(office_with: MakeOffice, world: World) -> None:
    for mode in ("websocket", "callback"):
        office_with(world.channel(mode=mode), by_hand=True).registrar.run()
        assert [(one.name, one.ok) for one in found(office_with, world, mode)] == [
            ("pelion_cellar", True),
            ("pelion_cellar_account", True),
        ]


def test_a_callback_without_flags_is_put_right_by_registering(office_with: MakeOffice, world: World) -> None:
    world.ask("PUT", "/v2/notification/callback", {"url": f"{world.app.url}/notifications/pelion/cellar"})
    (finding,) = found(office_with, world, "callback")
    assert (finding.ok, "`register --apply` does" in finding.detail) == (False, True)


def test_a_key_of_another_account_is_told(office_with: MakeOffice, world: World) -> None:
    office = office_with(by_hand=True)
    office.registrar.run()
    office.standing.note_account(CELLAR, office_with(world.channel("mill")).applications.account("mill"))
    assert [one.detail for one in found(office_with, world) if not one.ok] == [
        "the key's account is another one than when the channel was made"
    ]


def test_a_platform_on_this_machine_is_an_emulator(world: World) -> None:
    assert is_emulated(settings_of(world))
