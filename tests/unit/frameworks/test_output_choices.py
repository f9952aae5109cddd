from scalemesh.core.build import BuildSettings, Plan
from scalemesh.frameworks import detect, output_choices


def plan(*more: str, script: str = "node build.js", output_directory: str | None = None) -> Plan:
    files = {"package.json": f'{{"scripts": {{"build": "{script}"}}}}'.encode()}
    return detect([*files, *more], files.get, BuildSettings(output_directory=output_directory))


def test_a_guess_is_tried_before_the_usual_places() -> None:
    assert output_choices(plan(script="cp -r src out"))[:2] == ["out", "dist"]


def test_a_repository_without_a_page_is_never_published_whole() -> None:
    assert "." not in output_choices(plan())


def test_a_page_at_the_top_is_the_last_resort() -> None:
    assert output_choices(plan("index.html"))[-1] == "."


def test_a_framework_may_write_where_vercel_looks() -> None:
    files = {"package.json": b'{"scripts": {"build": "nuxt generate"}, "dependencies": {"nuxt": "4"}}'}
    made = detect([*files], files.get, BuildSettings())
    assert output_choices(made) == [".output/public", ".vercel/output/static"]


def test_what_the_owner_said_is_the_only_place() -> None:
    assert output_choices(plan(output_directory="www")) == ["www"]
