import pytest

# It holds assertions without being a test itself.
pytest.register_assert_rewrite("tests.e2e.canvas_checks")
