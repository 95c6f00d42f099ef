"""Settings of an instance that is used again."""

from pathlib import Path

from tasks.store.connection import Connection
from tasks.store.instance_pool import InstancePool

SETTING = "SELECT current_setting('{}')"
TOO_LARGE = "CREATE TEMP TABLE large AS SELECT hash(range)::VARCHAR AS text FROM range(1_000_000)"


def setting(instance: Connection, name: str) -> object:
    return instance.rows(SETTING.format(name))[0][0]


def test_next_user_of_an_instance_gets_own_settings(tmp_path: Path) -> None:
    pool = InstancePool()
    first, second = ({"temp_directory": str(tmp_path / name)} for name in ("first", "second"))
    with pool.lend({}) as instance:
        default = setting(instance, "memory_limit")
    with pool.lend(first | {"memory_limit": "10MB"}) as lent:
        assert lent is instance
        assert setting(lent, "memory_limit") != default
    with pool.lend(second) as lent:
        assert lent is instance
        assert setting(lent, "memory_limit") == default
        assert setting(lent, "temp_directory") == second["temp_directory"]
    pool.close()


def test_instance_that_has_spilled_is_not_used_for_another_folder(tmp_path: Path) -> None:
    pool = InstancePool()
    with pool.lend({"memory_limit": "10MB", "temp_directory": str(tmp_path / "first")}) as instance:
        instance.run(TOO_LARGE)
        assert instance.rows("SELECT count(*) > 0 FROM duckdb_temporary_files()") == [(True,)]
    with pool.lend({"memory_limit": "10MB", "temp_directory": str(tmp_path / "second")}) as lent:
        assert lent is not instance
        assert setting(lent, "temp_directory") == str(tmp_path / "second")
    pool.close()
