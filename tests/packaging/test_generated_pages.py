"""Generated pages and files equal the output of ``docs/generate.py``."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_settings_page_is_up_to_date() -> None:
    generate = runpy.run_path(str(DOCS / "generate.py"))
    assert (DOCS / "reference" / "settings.md").read_text() == generate["settings_page"]()


def test_the_example_file_is_up_to_date() -> None:
    generate = runpy.run_path(str(DOCS / "generate.py"))
    assert (DOCS.parent / "config" / "router.yaml").read_text() == generate["settings_example"]()
    assert (generate["TEMPLATES"] / "router.yaml").read_text() == generate["settings_example"]()


def test_the_example_policy_is_the_one_in_the_package() -> None:
    generate = runpy.run_path(str(DOCS / "generate.py"))
    assert generate["POLICY_EXAMPLE"].read_bytes() == (generate["TEMPLATES"] / "policy.yaml").read_bytes()


def test_the_tables_of_the_api_page_are_up_to_date() -> None:
    generate = runpy.run_path(str(DOCS / "generate.py"))
    assert (DOCS / "reference" / "http-api.md").read_text() == generate["api_page"]()


def test_the_errors_page_is_up_to_date() -> None:
    generate = runpy.run_path(str(DOCS / "generate.py"))
    assert (DOCS / "reference" / "errors.md").read_text() == generate["errors_page"]()
