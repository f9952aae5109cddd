from pathlib import Path

import pytest

from tests.rules_cases import answers, cases


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.name)
def test_case_is_answered_as_expected(case: Path) -> None:
    assert answers(case) == (case / "expected.txt").read_text().splitlines()
