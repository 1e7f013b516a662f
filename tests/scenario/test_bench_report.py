"""What the bench makes of its runs: verdicts, tables and the chart, from figures written by hand."""
import copy
import json
import os
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from support.unlade import ROOT

BENCH = os.path.join(ROOT, "bench")
MARKS = ("machine", "summary", "details", "memory", "floors", "instructions")
SVG = "{http://www.w3.org/2000/svg}"


def runs(*values, **more):
    return [{"value": v, "rate": 1000.0, "p50_us": 10, "p99_us": 20, "kernel": 0.7, "busy": 0.9, "foreign": 0.01, **more} for v in values]


RESULTS = {
    "about": {"date": "2026-01-02", "processor": "A processor", "cores": 2, "kernel": "6.1", "scale": 1, "unlade_sha256": "0" * 16,
              "unlade": "0.1.0", "openssl": {"own": "OpenSSL 3.5.0", "system": "OpenSSL 3.0.0"}, "peers": {"nginx": "1.22", "haproxy": "2.6"}},
    "runs": {
        "keep": {"unlade": runs(16.0, 90.0, 15.0), "nginx": runs(20.0, 21.0, 19.0), "haproxy": runs(25.0, 25.0, 26.0),
                 "hitch": runs(15.0, 15.0, 15.0), "relay": runs(11.0, 12.0, 13.0), "stunnel": runs(9.0, 9.0, 9.0)},
        "download": {"unlade": runs(600.0, 600.0), "nginx": runs(1000.0, 1000.0), "h2o": [{"failed": "no answer"}, {"failed": "no answer"}]},
        "idle15k": {"unlade": [{"value": 1.4, "before": 8000}], "nginx": [{"value": 14.9, "before": 9000}]},
    },
    "unfit": {"idle15k": {"hitch": "keeps a connection to the server for each client"}},
    "floors": {"full_own": [{"value": 190.0}, {"value": 180.0}, {"value": 200.0}]},
    "memory": {"full_native_8": [{"value": 41.0, "lanes_x25519": 8.0}, {"value": 39.0, "lanes_x25519": 8.0}, {"value": 38.0, "lanes_x25519": 8.0}],
               "rsa_native_8": [{"value": 171.0}], "full_openssl_1": [{"value": 180.0}]},
}
INSTRUCTIONS = {"keep": {"what": "keep-alive GET of 1 KB", "costs": {"unlade": 9000.0, "OpenSSL": 2000.4, "libc": 900.0}}}


@pytest.fixture(scope="module")
def report():
    sys.path.insert(0, BENCH)
    try:
        import report as module
    finally:
        sys.path.remove(BENCH)
    return module


@pytest.fixture
def place(tmp_path):
    """A folder with figures and a document that has a place for each part."""
    (tmp_path / "runs.json").write_text(json.dumps(RESULTS))
    (tmp_path / "instructions.json").write_text(json.dumps(INSTRUCTIONS))
    (tmp_path / "performance.md").write_text("before\n" + "".join(f"<!-- bench:{m} -->\nold\n<!-- /bench:{m} -->\n" for m in MARKS) + "after\n")
    return tmp_path


def make(place, *options):
    return subprocess.run([sys.executable, os.path.join(BENCH, "report.py"), str(place / "runs.json"), "--to", str(place), *options],
                          capture_output=True, text=True, check=False)


def test_medians_are_compared_with_the_best_of_those_that_a_target_names(report):
    http, hitch = report.verdicts(RESULTS, "keep")
    assert (http.best, round(http.figure, 2), http.reached) == ("nginx", 0.80, True)
    assert (hitch.best, round(hitch.figure, 2), hitch.reached) == ("hitch", 1.07, False)


def test_a_target_without_rivals_is_an_amount(report):
    (verdict,) = report.verdicts(RESULTS, "idle15k")
    assert (verdict.best, verdict.figure, verdict.reached) == (None, 1.4, True)
    heavier = copy.deepcopy(RESULTS)
    heavier["runs"]["idle15k"]["unlade"][0]["value"] = 1.6
    assert not report.verdicts(heavier, "idle15k")[0].reached


def test_the_text_tells_what_is_reached_what_failed_and_who_could_not_take_part(report):
    text = report.as_text(RESULTS)
    assert "NOT REACHED: 0.60 of nginx, wanted ≤ 0.50 of the best" in text
    assert "REACHED: 0.80 of nginx, wanted ≤ 0.80 of the best HTTP proxy" in text
    assert "failed: no answer" in text
    assert "keeps a connection to the server for each client" in text
    assert "Others took 1% of the machine" in text and "unproven" not in text


def test_figures_from_a_busy_machine_are_said_to_prove_nothing(report):
    busy = copy.deepcopy(RESULTS)
    busy["runs"] = {"keep": {"unlade": runs(16.0, foreign=0.4), "nginx": runs(20.0, foreign=0.4)}}
    assert "unproven" in report.as_text(busy)


def test_the_document_gets_its_tables_and_keeps_the_rest(place):
    done = make(place)
    assert done.returncode == 0, done.stderr
    text = (place / "performance.md").read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| keep-alive GET of 1 KB, 64 connections | 16.0 µs | 20.0 (nginx) | 0.80 | ≤ 0.80 of the best HTTP proxy | yes |" in text
    assert "| 10 MB download, 8 connections | 600.0 ns/KB | 1,000 (nginx) | 0.60 | ≤ 0.50 of the best | **no** |" in text
    assert "| **Unlade** | 16.0 | 15.0–90.0 | 3 | 70 | 1,000 | 10 | 20 |" in text
    assert "| server side of a full TLS 1.3 handshake, Unlade's OpenSSL | 190.0 µs |" in text
    assert "| keep-alive GET of 1 KB | 11,900 | 9,000 | 2,000 | 900 | 0 |" in text
    assert "A processor, 2 cores, Linux 6.1" in text


def test_handshakes_in_memory_stand_with_their_targets_and_lanes(report, place):
    assert make(place).returncode == 0
    text = (place / "performance.md").read_text()
    eight = "ours, with the multi-buffer library, eight together"
    assert f"| full, ECDSA P-256, X25519: {eight} | 39.0 | ≤ 40 | yes | x25519 8.0 |" in text
    assert f"| full, RSA-2048, X25519: {eight} | 171.0 | ≤ 170 | **no** |  |" in text
    assert "| full, ECDSA P-256, X25519: OpenSSL, alone | 180.0 |  |  |  |" in text
    assert f"NOT REACHED: full, RSA-2048, X25519, {eight}: 171.0 µs, wanted ≤ 170 µs" in report.as_text(RESULTS)


def test_figures_from_before_handshakes_were_measured_in_memory_are_still_read(report):
    older = {key: value for key, value in RESULTS.items() if key != "memory"}
    assert report.handshakes_in_memory(older) == [] and "REACHED" in report.as_text(older)


def test_the_chart_has_a_bar_for_each_peer_and_ours_stands_out(place):
    assert make(place).returncode == 0
    text = (place / "performance.svg").read_text()
    chart = xml.etree.ElementTree.fromstring(text)
    bars = [r for r in chart.iter(SVG + "rect") if float(r.get("height")) == 15]
    assert [r.get("class") for r in bars].count("own") == 3  # one in each panel
    assert [r.get("class") for r in bars].count("peer") == 5 and [r.get("class") for r in bars].count("floor") == 1
    assert "prefers-color-scheme: dark" in text
    width = {r.get("class"): float(r.get("width")) for r in bars[-2:]}  # the last panel: 1.4 KB beside 14.9
    assert width["own"] / width["peer"] == pytest.approx(1.4 / 14.9, abs=0.01)


def test_a_document_that_differs_from_the_figures_is_found_and_left_alone(place):
    assert make(place).returncode == 0
    assert make(place, "--check").returncode == 0
    newer = copy.deepcopy(RESULTS)
    newer["runs"]["keep"]["unlade"] = runs(12.0)
    (place / "runs.json").write_text(json.dumps(newer))
    kept = (place / "performance.md").read_text()
    done = make(place, "--check")
    assert done.returncode == 1 and "performance.md" in done.stdout and "performance.svg" in done.stdout
    assert (place / "performance.md").read_text() == kept


def test_a_document_without_a_place_for_a_part_is_refused(place):
    (place / "performance.md").write_text("nothing\n")
    done = make(place)
    assert done.returncode != 0 and "no place for machine" in done.stderr


def test_the_kept_document_and_chart_are_what_the_kept_figures_say():
    done = subprocess.run([sys.executable, os.path.join(BENCH, "report.py"), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
