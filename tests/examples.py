"""How many examples a property test that takes long tries."""

from hypothesis import settings


def examples(usual: int) -> settings:
    """So many by default, and as many as the profile says with `--hypothesis-profile=thorough`."""
    thorough = settings.get_current_profile_name() == "thorough"
    return settings(max_examples=settings.default.max_examples if thorough else usual)
