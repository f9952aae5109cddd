"""Services over real databases: SQLite always, PostgreSQL in the long run and in one smoke."""

from collections.abc import AsyncIterator, Iterator

import pytest

from scalemesh.testing.engines import Postgres, Sqlite, postgres
from scalemesh.testing.factories import Kit, open_kit


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_files(tmp_path_factory: pytest.TempPathFactory) -> Sqlite:
    return Sqlite(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.matrix)])
def engine(request: pytest.FixtureRequest) -> Sqlite | Postgres:
    """Each test that takes it runs on both engines."""
    name = {"sqlite": "sqlite_files", "postgres": "postgres_server"}[request.param]
    found: Sqlite | Postgres = request.getfixturevalue(name)
    return found


@pytest.fixture
async def database_url(engine: Sqlite | Postgres) -> AsyncIterator[str]:
    """A migrated database of the test's own."""
    url = await engine.fresh()
    yield url
    await engine.drop(url)


@pytest.fixture
async def kit(database_url: str) -> AsyncIterator[Kit]:
    async with open_kit(database_url) as opened:
        yield opened
