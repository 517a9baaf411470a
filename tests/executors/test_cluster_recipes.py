"""The recipes under configs/cluster: each is parsed, its geoseg flags are real, and what can run here is run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import dask
import numpy as np
import pytest
import yaml
from conftest import write_tif
from distributed import Security

from geoseg.cli import main
from geoseg.cli.verbs import command
from geoseg.config.batches import BatchConfig
from geoseg.config.load import load_config

FOLDER = Path(__file__).parents[2] / "configs/cluster"
SCRIPTS = sorted(FOLDER.glob("*.sh"))
JOBS = sorted(FOLDER.glob("kubernetes_*.yaml"))
RASTERS = ("classes.tif", "confidence.tif")


def by_name(paths):
    return {"argvalues": paths, "ids": [p.name for p in paths]}


def geoseg_calls(text):
    """Return [verb, flag, …] of every call of geoseg in a shell text, comments left out."""
    lines = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")))
    words = [shlex.split(line, comments=True) for line in lines.splitlines() if re.search(r"\bgeoseg [a-z]", line)]
    return [line[line.index("geoseg") + 1 :] for line in words]


def kubernetes_job(path):
    (job,) = yaml.safe_load_all(path.read_text())
    return job, job["spec"]["template"]["spec"]["containers"][0]


def flags_of(verb):
    return {name for parameter in command(verb).params for name in parameter.opts}


def test_the_recipes_are_the_ones_that_the_docs_tell_of():
    text = (FOLDER.parents[1] / "docs/cluster.md").read_text()
    assert set(re.findall(r"configs/cluster/([\w.]+)", text)) == {p.name for p in FOLDER.iterdir()}


@pytest.mark.parametrize("path", **by_name(SCRIPTS))
def test_a_script_is_bash(path):
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.access(path, os.X_OK)


@pytest.mark.parametrize("path", **by_name(SCRIPTS + JOBS))
def test_the_flags_of_a_recipe_exist(path):
    texts = [path.read_text()] if path.suffix == ".sh" else kubernetes_job(path)[1]["args"]
    calls = [call for text in texts for call in geoseg_calls(text)]
    assert calls
    for verb, *rest in calls:
        assert {word for word in rest if re.match(r"-{1,2}[a-z]", word)} <= flags_of(verb), path.name


def test_dask_takes_the_settings_of_the_recipe_for_tls(tmp_path):
    recipe = (FOLDER.parents[1] / "docs/cluster.md").read_text().partition("### Dask over TLS")[2].split("```")[1]
    exports = "\n".join(line for line in recipe.splitlines()[1:] if line.split()[:1] in (["export"], ["for"], ["done"]))
    script = f"{exports}\nenv | grep ^DASK_DISTRIBUTED__COMM"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    own = dask.config.collect_env(dict(line.split("=", 1) for line in done.stdout.splitlines()))
    with dask.config.set(dask.config.merge(dask.config.config, own)):
        security = Security()
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    assert security.require_encryption
    assert security.tls_ca_file == cert
    for role in ("scheduler", "worker", "client"):
        assert (getattr(security, f"tls_{role}_cert"), getattr(security, f"tls_{role}_key")) == (cert, key)
    (call,) = geoseg_calls(recipe)
    assert "--address" in call
    assert {word for word in call if word.startswith("-")} <= flags_of(call[0])


def test_the_local_cluster_is_a_batch():
    config = load_config(FOLDER / "local_cluster.yaml")
    assert isinstance(config, BatchConfig)
    assert config.each.options.engine == "local"


@pytest.mark.parametrize("path", **by_name(JOBS))
def test_a_kubernetes_job_runs_a_pod_again_and_leaves_it_its_grace(path):
    from geoseg.cli.stopping import GRACE_S

    job, container = kubernetes_job(path)
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] > GRACE_S
    assert all(arg.startswith("exec ") for arg in container["args"])  # so that SIGTERM reaches geoseg
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}


def test_the_shards_of_kubernetes_are_its_completions():
    job, container = kubernetes_job(FOLDER / "kubernetes_shards.yaml")
    assert job["spec"]["completionMode"] == "Indexed"
    assert f"--shard $((JOB_COMPLETION_INDEX + 1))/{job['spec']['completions']} " in container["args"][0].replace(
        '"', ""
    )
    rules = {
        v: r["action"]
        for r in job["spec"]["podFailurePolicy"]["rules"]
        for v in r.get("onExitCodes", {}).get("values", [])
    }
    assert rules == {75: "Ignore", 2: "FailJob", 3: "FailJob", 4: "FailJob", 5: "FailJob", 6: "FailJob"}


# --- run for real ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large_scene(tmp_path_factory):
    """A scene of six chunks of 512 px."""
    pixels = np.random.default_rng(5).integers(1, 255, (3, 100, 2700), np.uint8)
    path = tmp_path_factory.mktemp("large") / "large.tif"
    return write_tif(path, pixels, photometric="RGB", tiled=True, blockxsize=256, blockysize=256)


def executable(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture(params=["here", pytest.param("processes", marks=pytest.mark.nightly)])
def start(request, tmp_path, capsys):
    """Start a recipe with stand-ins of SLURM's own commands on PATH; returns what waits for its (code, stdout, stderr).

    Here, geoseg's command line is run in this process as the recipe calls it, and then the recipe gets its exit code.
    """
    stubs, called, code = tmp_path / "bin", tmp_path / "called", tmp_path / "code"
    stubs.mkdir()
    executable(stubs / "srun", 'exec "$@"')
    executable(stubs / "scontrol", f'echo "$@" >> {tmp_path}/scontrol.log')
    path = f"{stubs}:{Path(sys.executable).parent}:{os.environ['PATH']}"

    def process(script, *argv, **variables):
        started = subprocess.Popen(
            ["bash", FOLDER / script, *map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PATH": path, **variables},
        )  # fmt: skip
        return lambda: finished(started)

    def here(script, *argv, **variables):
        executable(stubs / "geoseg", f"""printf '%s\\0' "$@" > {called}; exit $(cat {code})""")
        code.write_text("0")
        called.unlink(missing_ok=True)
        ended = process(script, *argv, **variables)()
        if not called.exists():
            return lambda: ended
        capsys.readouterr()
        code.write_text(str(main(called.read_text().split("\0")[:-1])))
        told = capsys.readouterr()
        return lambda: (process(script, *argv, **variables)()[0], *told)

    return process if request.param == "processes" else here


def finished(process, seconds=240):
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.fixture
def batch_config(tmp_path, large_scene, tiny_bundle):
    keys = {"job": "land_cover", "model": str(tiny_bundle), "options": {"chunk_px": 512}}
    path = tmp_path / "batch.yaml"
    path.write_text(yaml.safe_dump({"job": "batch", "scenes": str(large_scene), "out": "out", "each": keys}))
    return path


def undisturbed(scene, bundle, out, *, verb="predict"):
    assert main([verb, str(scene), "-m", str(bundle), "-o", str(out), "--chunk-px", "1024", "-q"]) == 0
    return {name: (out / name).read_bytes() for name in RASTERS}


@pytest.mark.nightly
@pytest.mark.parametrize("start", ["processes"], indirect=True)
def test_scheduler_and_workers_by_hand_give_the_bytes_of_threads(
    tmp_path, start, batch_config, large_scene, tiny_bundle
):
    code, out, err = start("dask_by_hand.sh", 2, batch_config)()
    assert code == 0, err
    assert "1 scenes: 1 done" in out
    expected = undisturbed(large_scene, tiny_bundle, tmp_path / "threads")
    assert {name: (tmp_path / "out/large" / name).read_bytes() for name in RASTERS} == expected


def test_shards_side_by_side_and_finish_give_the_bytes_of_one_run(tmp_path, start, large_scene, tiny_bundle):
    out = tmp_path / "out"
    argv = [large_scene, out, "-m", tiny_bundle, "--chunk-px", "512"]
    both = [start("slurm_shards.sh", *argv, SLURM_ARRAY_TASK_ID=str(i), SLURM_ARRAY_TASK_COUNT="2") for i in (1, 2)]
    ended = [end() for end in both]
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert not list(out.glob("*.tif"))
    code, _, err = start("slurm_finish.sh", out)()
    assert code == 0, err
    expected = undisturbed(large_scene, tiny_bundle, tmp_path / "one", verb="buildings")
    assert {name: (out / name).read_bytes() for name in RASTERS} == expected
    assert (out / "buildings.gpkg").read_bytes() == (tmp_path / "one/buildings.gpkg").read_bytes()


def test_a_shard_whose_time_is_over_is_queued_again_and_finish_says_what_is_missing(
    tmp_path, start, large_scene, tiny_bundle
):
    out = tmp_path / "out"
    argv = [large_scene, out, "-m", tiny_bundle, "--max-runtime", "0.001s"]
    one = start("slurm_shards.sh", *argv, SLURM_ARRAY_TASK_ID="1", SLURM_ARRAY_TASK_COUNT="1", SLURM_JOB_ID="71")
    assert one()[0] == 75
    assert (tmp_path / "scontrol.log").read_text() == "requeue 71\n"
    code, _, err = start("slurm_finish.sh", out)()
    assert (code, "chunks are missing" in err) == (7, True)


def test_cron_runs_a_batch_once_at_a_time(tmp_path, start, batch_config):
    import fcntl

    with Path(f"{batch_config}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert start("cron.sh", batch_config)() == (0, "", "")
    assert not (tmp_path / "out").exists()
    assert start("cron.sh", batch_config)()[0] == 0
    code, out, _ = start("cron.sh", batch_config)()
    assert (code, "1 skipped" in out) == (0, True)
