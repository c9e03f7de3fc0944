"""Cost and provenance: read from small files written by hand."""

from recam.report.provenance import origins, provenance, timings

HEAD = "s\th:m:s\tmax_rss\n"


def test_timings_leave_out_placeholders_and_steps_without_a_benchmark(tmp_path):
    folder = tmp_path / "seed0/cam"
    folder.mkdir(parents=True)
    (folder / "train_cam.tsv").write_text(f"{HEAD}120.5\t0:02:00\t2048\n")
    (folder / "train_irn.tsv").write_text(f"{HEAD}0.4\t0:00:00\t300\n")  # wrote a placeholder
    (folder / "evaluate.tsv").write_text(f"{HEAD}30\t0:00:30\t-\n")  # memory was not measured
    rows = timings(tmp_path, random_seeds=[0, 1], methods=["cam"])
    assert rows.values.tolist() == [["train_cam", "cam", 0, 120.5, 2048]]


def test_no_benchmarks_give_no_timings(tmp_path):
    assert timings(tmp_path, random_seeds=[0], methods=["cam"]).empty


def test_provenance_names_code_checksums_and_parameters_and_escapes_them(tmp_path):
    data, results = tmp_path / "data", tmp_path / "results"
    data.mkdir()
    (data / "labels.csv").write_text("id,cat\n")
    code = {"commit": "abc123", "uncommitted changes": "<none>"}
    page = provenance({"train_cam": {"lr": 0.1}}, code=code, data=data, results=results)
    assert "<th>commit</th><td>abc123</td>" in page
    assert "&lt;none&gt;" in page
    assert "<th>data/labels.csv</th><td>" in page
    assert "<pre>train_cam: {lr: 0.1}\n</pre>" in page


def test_a_package_that_is_not_installed_is_named_so(tmp_path, monkeypatch):
    monkeypatch.setattr("recam.report.provenance.PACKAGES", ("numpy", "no-such-package"))
    versions = origins(code={}, data=tmp_path / "data", results=tmp_path / "results")["Versions"]
    assert versions["no-such-package"] == "not installed"
