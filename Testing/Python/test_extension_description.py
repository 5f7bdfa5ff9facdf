"""The extension's descriptions for Slicer's index: JSON, .s4ext and CMake say the same."""

import json
import re
import struct

import pytest
from shared_data import REPOSITORY

S4EXT_KEYS = {
    "scm",
    "scmurl",
    "scmrevision",
    "depends",
    "build_subdirectory",
    "homepage",
    "contributors",
    "category",
    "iconurl",
    "status",
    "description",
    "screenshoturls",
    "enabled",
}
# Keys and types of schema 1.0.2 of Slicer's extension catalogue; the first three are required.
JSON_TYPES = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
    "dicom_support_rule": str,
}


@pytest.fixture(scope="module")
def s4ext() -> dict[str, str]:
    lines = (REPOSITORY / "SACBRegistration.s4ext").read_text(encoding="utf-8").splitlines()
    pairs = [line.split(" ", 1) for line in lines if line and not line.startswith("#")]
    assert len(pairs) == len({key for key, _ in pairs}), "a key is given twice"
    return {key: value.strip() for key, value in pairs}


@pytest.fixture(scope="module")
def catalog() -> dict:
    return json.loads((REPOSITORY / "SACBRegistration.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cmake() -> dict[str, str]:
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'set\(EXTENSION_(\w+) "?([^")]+)"?\)', text))


def repository_file(url: str):
    """Returns the file of this repository that an address on its main branch shows."""
    return REPOSITORY / url.split("/main/", 1)[1]


def test_s4ext_has_every_key_and_no_other(s4ext):
    assert set(s4ext) == S4EXT_KEYS
    assert all(s4ext.values())


def test_s4ext_agrees_with_cmake(s4ext, cmake):
    for key in S4EXT_KEYS - {"scm", "scmurl", "scmrevision"}:
        assert s4ext[key] == cmake[key.upper()], key


def test_json_follows_the_schema(catalog):
    assert {"$schema", "category", "scm_url"} <= set(catalog) <= set(JSON_TYPES)
    for key, value in catalog.items():
        assert type(value) is JSON_TYPES[key], key
    assert catalog["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert all(isinstance(name, str) for name in catalog["build_dependencies"])
    assert catalog["scm_type"] in ("git", "local") and 1 <= catalog["tier"] <= 5


def test_json_agrees_with_s4ext(catalog, s4ext):
    assert catalog["build_dependencies"] == s4ext["depends"].split()
    assert catalog["enabled"] is (s4ext["enabled"] == "1")
    for here, there in (
        ("category", "category"),
        ("build_subdirectory", "build_subdirectory"),
        ("scm_type", "scm"),
        ("scm_url", "scmurl"),
        ("scm_revision", "scmrevision"),
    ):
        assert catalog[here] == s4ext[there], here


def test_index_would_accept_the_addresses(catalog, s4ext):
    # The index refuses plain http, and repositories without "Slicer" in their names.
    addresses = [catalog["scm_url"], s4ext["homepage"], s4ext["iconurl"], *s4ext["screenshoturls"].split()]
    assert all(address.startswith("https://") for address in addresses)
    assert "slicer" in catalog["scm_url"].rsplit("/", 1)[1].lower()


def test_index_reads_the_name_from_the_first_project_command():
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.findall(r"project\s*\(\s*([^\s)]+)", text)[0] == "SACBRegistration"


def test_pictures_of_the_description_exist(s4ext):
    for address in s4ext["screenshoturls"].split():
        assert repository_file(address).is_file(), address
    icon = repository_file(s4ext["iconurl"]).read_bytes()
    assert icon[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", icon[16:24]) == (128, 128)


def test_icon_is_kept_as_a_drawing_too():
    drawing = (REPOSITORY / "Resources/Icons/SACBRegistration.svg").read_text(encoding="utf-8")
    assert "<svg" in drawing and "<image" not in drawing
