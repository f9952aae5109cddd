from scalemesh.api.metrics import Metrics


def test_histogram_is_cumulative() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.2, 99.0):
        metrics.observe("GET", "/v1/me", 200, seconds)
    text = metrics.render({})
    assert 'scalemesh_http_request_seconds_bucket{route="/v1/me",le="0.005"} 1' in text
    assert 'scalemesh_http_request_seconds_bucket{route="/v1/me",le="0.25"} 2' in text
    assert 'scalemesh_http_request_seconds_bucket{route="/v1/me",le="+Inf"} 3' in text
    assert 'scalemesh_http_request_seconds_count{route="/v1/me"} 3' in text


def test_names_say_what_a_number_is() -> None:
    wait: dict[str, dict[str, float]] = {"wait_seconds_sum": {"": 1234567.25}, "wait_seconds_count": {"": 2}}
    text = Metrics().render({"claims_total": {"": 12345678}, **wait})
    assert text.splitlines()[-5:] == [
        "# TYPE claims_total counter",
        "claims_total 12345678",
        "# TYPE wait_seconds summary",
        "wait_seconds_sum 1234567.25",
        "wait_seconds_count 2",
    ]


def test_gauges() -> None:
    text = Metrics().render({"up": {"": 1}, "builds": {'state="queued"': 2}})
    assert text.splitlines()[-4:] == ["# TYPE up gauge", "up 1", "# TYPE builds gauge", 'builds{state="queued"} 2']
