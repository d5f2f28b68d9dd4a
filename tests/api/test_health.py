"""``/readyz`` asks what serves: the same connections, in the same role."""

from tests.support.application import running_application


async def test_replica_is_ready_when_its_database_is(database_url: str) -> None:
    async with running_application(database_url) as application, application.client() as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_replica_is_not_ready_when_no_statement_gets_a_connection(database_url: str) -> None:
    limits = {"database_pool_size": 1, "database_max_overflow": 0, "database_timeout": 10}
    async with (
        running_application(database_url, **limits) as application,
        application.client() as client,
    ):
        pool = application.services.pool
        held = await pool._acquire()
        patient, pool._timeout = pool._timeout, 0.05
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert "DATABASE_POOL_SIZE" in answer.json()["status"]
        pool._timeout = patient
        pool._release(held)
        assert (await client.get("/readyz")).status_code == 200
