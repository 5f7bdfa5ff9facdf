"""How much memory a run may take."""

import math
import sys
from pathlib import Path

import pytest
import torch

from SACBRegistrationLib.network.memory import Way, estimate
from SACBRegistrationLib.network.precision import Precision
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.registration import devices


def test_file_caches_count_as_available(tmp_path, monkeypatch):
    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 16000000 kB\nMemFree: 100000 kB\nMemAvailable: 9000000 kB\n", encoding="utf-8")
    monkeypatch.setattr(devices, "_MEMORY_FILE", file)
    assert devices.available_memory_bytes() == 9000000 * 1024
    assert devices.memory_budget(torch.device("cpu")) == int(9000000 * 1024 * 0.7)
    assert devices.memory_budget(torch.device("cpu"), 1.5) == int(1.5e9)
    assert devices.memory_budget(torch.device("cpu"), 100) == int(9000000 * 1024 * 0.7)


def test_a_system_that_says_nothing_still_gets_the_largest_preset(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "_MEMORY_FILE", tmp_path / "missing")
    monkeypatch.setattr(sys, "platform", "other")
    monkeypatch.setattr(devices.os, "sysconf_names", {})
    ixi = load_preset("ixi")
    budget = devices.memory_budget(torch.device("cpu"))
    assert estimate(math.prod(ixi.size), Way.WHOLE, "cpu", Precision.FLOAT32) <= budget


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="only Linux tells it in a file")
def test_the_amount_is_between_free_and_all():
    with open("/proc/meminfo", encoding="utf-8") as stream:
        lines = dict(line.split(":") for line in stream)
    assert 0 < devices.available_memory_bytes() <= int(lines["MemTotal"].split()[0]) * 1024
