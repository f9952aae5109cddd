"""Labels and URLs."""

import pytest

from scalemesh.core.ids import new_host_id
from scalemesh.projects import Sites
from scalemesh.projects.hosts import _labels, deployment_label


@pytest.mark.parametrize(
    ("sites_url", "host", "url"),
    [
        ("http://*.localhost:8080", "blog.localhost", "http://blog.localhost:8080"),
        ("https://*.apps.example.org", "blog.apps.example.org", "https://blog.apps.example.org"),
    ],
)
def test_host_and_url(sites_url: str, host: str, url: str) -> None:
    sites = Sites(sites_url)
    assert (sites.host("blog"), sites.url(sites.host("blog"))) == (host, url)


@pytest.mark.parametrize("name", ["a", "blog", "a" * 63, "a" * 49 + "-" + "b" * 13])
def test_immutable_label_fits(name: str) -> None:
    label = deployment_label(name, new_host_id())
    assert len(label) <= 63
    assert "--" not in label


@pytest.mark.parametrize(("name", "team"), [("blog", "acme"), ("n" * 63, "acme"), ("n" * 63, "t" * 63)])
def test_every_candidate_is_a_label(name: str, team: str) -> None:
    labels = list(_labels(name, team))
    assert labels[0] == name
    assert all(0 < len(label) <= 63 and not label.startswith("-") and not label.endswith("-") for label in labels)
