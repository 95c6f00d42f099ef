"""Settings of the environment."""

import pytest

from tasks.errors import SettingsError
from tasks.settings import PREFIX, REMOVED_SETTINGS, Settings, load_settings


@pytest.mark.parametrize("name", REMOVED_SETTINGS)
def test_removed_setting_that_is_still_set_is_refused_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + name, "1")
    with pytest.raises(SettingsError, match=PREFIX + name):
        load_settings()
    assert name.lower() not in Settings.model_fields


def test_invalid_setting_is_refused_by_name_and_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}SLICE_HOURS", "a secret")
    with pytest.raises(SettingsError, match=f"{PREFIX}SLICE_HOURS") as refused:
        load_settings()
    assert "a secret" not in str(refused.value)
