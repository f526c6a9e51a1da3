from __future__ import annotations

from hydro_envoy.xds.subscription import Subscription


def test_a_first_request_without_names_asks_for_everything() -> None:
    subscription = Subscription()
    subscription.change((), ())
    assert subscription.covers("anything")


def test_a_later_request_without_names_changes_nothing() -> None:
    subscription = Subscription()
    subscription.change(("a",), ())
    subscription.change((), ())
    assert subscription.covers("a")
    assert not subscription.covers("b")


def test_everything_and_names_are_asked_for_side_by_side() -> None:
    subscription = Subscription()
    subscription.change(("*", "a"), ())
    subscription.change((), ("*",))
    assert subscription.covers("a")
    assert not subscription.covers("b")


def test_a_name_is_given_back() -> None:
    subscription = Subscription()
    subscription.change(("a", "b"), ())
    subscription.change((), ("a",))
    assert (subscription.covers("a"), subscription.covers("b")) == (False, True)


def test_state_of_the_world_names_replace_each_other() -> None:
    subscription = Subscription()
    subscription.replace(())
    assert subscription.covers("a")
    subscription.replace(("a",))
    assert (subscription.covers("a"), subscription.covers("b")) == (True, False)
    subscription.replace(())
    assert not subscription.covers("a"), "no names mean nothing once there were names"
    subscription.replace(("*",))
    assert subscription.covers("b")
