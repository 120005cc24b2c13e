"""Which consumer a channel is."""

from __future__ import annotations

from dataclasses import replace

from subscriber.channels import Place
from subscriber.model import CUMULOCITY, Tenant
from tests.channels.working import consumer

URL = "https://acme.example"


def test_an_exclusive_consumer_has_the_same_place_in_every_instance() -> None:
    place = Place(Tenant(CUMULOCITY, "t402119"), "cold", "worker")
    assert consumer(URL).place == replace(consumer(URL), client="other").place == place
    assert consumer(URL).exclusive


def test_clients_of_a_shared_consumer_have_places_of_their_own() -> None:
    one, two = consumer(URL, client="one"), consumer(URL, client="two")
    assert one.place != two.place
    assert not one.exclusive


def test_a_new_password_leaves_the_wiring_and_another_address_does_not() -> None:
    assert consumer(URL).wiring == consumer(URL, password="new").wiring
    assert consumer(URL).wiring != consumer("https://other.example").wiring
    assert consumer(URL).wiring != consumer(URL, non_persistent=True).wiring


def test_it_does_not_show_its_password() -> None:
    assert "pw-1" not in repr(consumer(URL))
