import re
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshes import gateway, manager_api_listener, repository_api_listener

from hydro_envoy.resources import paths
from hydro_envoy.resources.listeners import SERVICE

SEGMENT = st.text(st.characters(codec="utf-8", exclude_characters="/?#"), min_size=1, max_size=12)


def allowed(path: str, services: Iterable[str], descriptors: bytes) -> str | None:
    """What the first route that fits a path says in `allow`."""
    for route in paths.wrong_method_routes(list(services), descriptors):
        match: Any = route.match
        regex, prefix = match.safe_regex, match.prefix
        if (regex and re.fullmatch(regex.regex, path)) or (prefix and path.startswith(prefix)):
            answer: Any = route
            (added,) = answer.response_headers_to_add
            assert (added.header.key, answer.direct_response.status) == ("allow", 405)
            return str(added.header.value)
    return None


def at_gateway(path: str) -> str | None:
    return allowed(path, [SERVICE], gateway().descriptor_set)


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("/api/v1/pipelines", "GET, POST"),
        ("/api/v1/pipelines/a", "DELETE, GET, PUT"),
        ("/api/v1/pipelines:plan", "POST"),
        ("/api/v1/status", "GET"),
        ("/hydro.manager.v1.ManagerService/GetPipeline", "POST"),
        ("/api/v1/pipelines/a/b", None),
        ("/api/v1/pipelines/", None),
        ("/api/v1", None),
        ("/other/api/v1/status", None),
    ],
)
def test_a_path_of_the_manager_says_what_it_takes(path: str, want: str | None) -> None:
    listener = manager_api_listener()
    assert allowed(path, listener.services, listener.descriptor_set) == want


def test_paths_of_the_repository_say_what_they_take() -> None:
    listener = repository_api_listener()
    for path in ("/models", "/models/a", "/metadata/a", "/files/a"):
        assert allowed(path, listener.services, listener.descriptor_set) == "GET"


@given(SEGMENT)
def test_whatever_the_name_of_a_pipeline_its_paths_take_post(name: str) -> None:
    assert at_gateway(f"/api/v1/serve/{name}") == at_gateway(f"/api/v1/predict/{name}") == "POST"
    assert at_gateway(f"/api/v1/serve/{name}/{name}") is None


@given(st.lists(st.sampled_from("/.*+?()[]{}^$|\\:ab"), max_size=20).map("".join))
def test_what_is_no_path_of_a_service_is_not_taken_for_one(path: str) -> None:
    assert at_gateway(path) is None


def test_services_that_are_not_offered_have_no_paths() -> None:
    listener = manager_api_listener()
    assert paths.wrong_method_routes([], listener.descriptor_set) == []
