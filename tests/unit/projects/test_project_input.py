"""What people may type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.core.build import BuildSettings
from scalemesh.errors import InvalidInput
from scalemesh.projects import parse


class TestName:
    @pytest.mark.parametrize("name", ["a", "blog", "my-site-2", "0", "a" * 63])
    def test_valid(self, name: str) -> None:
        assert parse.project_name(name) == name

    @pytest.mark.parametrize(
        "name", ["", "-a", "a-", "A", "a.b", "a_b", "a b", "é", "a" * 64, "xn--bcher-kva", "www", "api", "a\n", "../x"]
    )
    def test_refused(self, name: str) -> None:
        with pytest.raises(InvalidInput):
            parse.project_name(name)

    def test_suggests(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            parse.project_name("My Site!")
        assert caught.value.hint == "Try 'my-site'."

    @given(st.text())
    def test_whatever_passes_is_a_label(self, name: str) -> None:
        try:
            passed = parse.project_name(name)
        except InvalidInput:
            return
        assert passed.isascii()
        assert len(passed) <= 63
        assert passed.strip("abcdefghijklmnopqrstuvwxyz0123456789-") == ""


class TestRef:
    @pytest.mark.parametrize("ref", ["main", "feature/x", "v1.2.3", "a" * 40, "dependabot/npm/x-1", "über"])
    def test_valid(self, ref: str) -> None:
        assert parse.ref(ref) == ref

    @pytest.mark.parametrize(
        "ref",
        "|-x|--upload-pack=id|a..b|a b|a~1|a^|a:b|a?b|a*|a[b|a\\b|@|a@{1}|/a|a/|a//b|a.lock|.a|a/.b|a.|a\nb".split("|"),  # noqa: SIM905  thirty quoted strings would hide what is in them
    )
    def test_refused(self, ref: str) -> None:
        with pytest.raises(InvalidInput):
            parse.ref(ref)

    @pytest.mark.parametrize("ref", ["x" * 256, "a\0b"])
    def test_too_long_or_not_text(self, ref: str) -> None:
        with pytest.raises(InvalidInput):
            parse.ref(ref)


class TestDirectory:
    @pytest.mark.parametrize(
        ("given_", "kept"),
        [("", ""), (".", ""), ("./", ""), ("web", "web"), ("./apps/web/", "apps/web"), ("a//b", "a/b")],
    )
    def test_normalised(self, given_: str, kept: str) -> None:
        assert parse.directory(given_, "root_directory") == kept

    @pytest.mark.parametrize("path", ["/etc", "..", "a/../b", "../x", "a\\b", "a\0b", "a\nb".replace("\n", "\x07")])
    def test_refused(self, path: str) -> None:
        with pytest.raises(InvalidInput):
            parse.directory(path, "root_directory")

    @given(st.text())
    def test_never_leaves_the_repository(self, path: str) -> None:
        try:
            kept = parse.directory(path, "root_directory")
        except InvalidInput:
            return
        assert not kept.startswith("/")
        assert not set(kept.split("/")) & {"..", "."}


class TestSettings:
    def test_only_what_is_given_changes(self) -> None:
        before = BuildSettings(framework="vite", root_directory="web")
        after = parse.settings(before, {"framework": None, "build_command": " make "})
        assert after == BuildSettings(root_directory="web", build_command="make")

    def test_empty_command_runs_nothing(self) -> None:
        assert parse.settings(BuildSettings(), {"install_command": ""}).install_command == ""

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("framework", "Vite!"),
            ("node_version", "22; rm"),
            ("build_command", "a\0b"),
            ("build_command", "x" * 4097),
            ("output_directory", "../out"),
            ("nonsense", "x"),
        ],
    )
    def test_refused(self, name: str, value: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            parse.settings(BuildSettings(), {name: value})
        assert caught.value.field == name

    @pytest.mark.parametrize("version", ["22", "22.x", ">=18 <23", "^20.1.0", "lts/*".replace("/*", "-x"), "18 || 20"])
    def test_node_versions(self, version: str) -> None:
        assert parse.settings(BuildSettings(), {"node_version": version}).node_version == version


class TestEnv:
    @pytest.mark.parametrize("key", ["", "1A", "A-B", "A B", "A=B", "É", "A" * 257, "A\0"])
    def test_key_refused(self, key: str) -> None:
        with pytest.raises(InvalidInput):
            parse.env_key(key)

    @pytest.mark.parametrize("value", ["a\0b", "x" * 65537, "é" * 32769])
    def test_value_refused(self, value: str) -> None:
        with pytest.raises(InvalidInput):
            parse.env_value(value)

    def test_value_keeps_its_lines(self) -> None:
        assert parse.env_value("a\nb\r\n") == "a\nb\r\n"
