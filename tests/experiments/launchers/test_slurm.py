"""The batch script, and a whole job with stand-ins for SLURM's programs."""

import os
import subprocess
import sys

import pytest

from experiments.errors import UserError
from experiments.launchers import slurm
from experiments.launchers.slurm import Settings, minutes, script, submit, training

STAND_INS = {  # what the batch script and submitit call on a cluster
    "sbatch": 'cp "$1" "$STAND_IN/script.sh"; echo "Submitted batch job 12"',
    "srun": """while [[ $1 == --* ]]; do case $1 in --output|--error) shift 2 ;; *) shift ;; esac; done
SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 exec "$@" """,
    "scontrol": 'echo "$@" >> "$STAND_IN/asked"',
}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A folder of stand-ins in front of PATH, where they leave what they got."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    for name, body in STAND_INS.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN", str(folder))
    return folder


def directives(text):
    lines = [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH ")]
    return {line.partition("=")[0]: line.partition("=")[2] for line in lines}


def run_script(cluster, **variables):
    """Exit code of the batch script, run as SLURM would."""
    return subprocess.run(["bash", cluster / "script.sh"], env=os.environ | variables, timeout=60).returncode


def test_a_training_gets_a_task_for_each_gpu_of_each_node_as_lightning_wants(tmp_path):
    settings = Settings(
        partition="gpu", nodes=2, gpus=8, cpus=6, time="1-12:00", memory_gb=100, extra={"mail-type": "END"}
    )
    text = script([["run", "it"]], settings, tmp_path, trains=True)
    found = directives(text)
    expected = {"nodes": "2", "gpus-per-node": "8", "ntasks-per-node": "8", "cpus-per-task": "6", "partition": "gpu"}
    expected |= {"time": "2160", "signal": "USR2@120", "requeue": "", "mem": "100GB", "mail-type": "END"}
    assert expected.items() <= found.items() and "array" not in found and found["open-mode"] == "append"
    (srun,) = (line for line in text.splitlines() if line.startswith("srun "))
    assert "--cpus-per-task=6" in srun  # srun does not take it over from sbatch
    assert "--kill-on-bad-exit=1" in srun
    assert training(settings) == {"trainer.devices": 8, "trainer.num_nodes": 2}
    assert text.endswith("# What each job runs:\n# 0: run it")


def test_workers_are_an_array_with_one_task_a_node_that_starts_its_own_processes(tmp_path):
    settings = Settings(gpus=4, cpus=2, jobs=3, parallel=2, setup=["module load cuda"])
    text = script([["work"]] * 3, settings, tmp_path, trains=False)
    assert {"array": "0-2%2", "ntasks-per-node": "1", "cpus-per-task": "8"}.items() <= directives(text).items()
    assert text.index("module load cuda") < text.index("srun ") and "# 2: work" in text
    environment = slurm.command(["work"], trains=False).environment
    assert environment == {"SLURM_JOB_NAME": "interactive"}  # or Lightning takes the task for one of many ranks
    assert slurm.command(["train"], trains=True).environment == {}


def test_lightning_believes_a_task_of_a_training_and_not_one_of_a_worker(monkeypatch):
    from lightning.pytorch.plugins.environments import SLURMEnvironment

    monkeypatch.setenv("SLURM_NTASKS", "8")
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "8")
    assert SLURMEnvironment.detect()
    monkeypatch.setenv("SLURM_JOB_NAME", slurm.ALONE["SLURM_JOB_NAME"])
    assert not SLURMEnvironment.detect()


def test_a_training_without_gpus_is_one_process_a_node():
    assert training(Settings(gpus=0, nodes=3)) == {
        "trainer.devices": 1,
        "trainer.num_nodes": 3,
        "trainer.accelerator": "cpu",
    }


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("90", 90),
        ("90:00", 90),
        ("1:30:00", 90),
        ("24:00:00", 1440),
        ("0:59:01", 60),
        ("2-00:00", 2880),
        ("1-1:1:1", 1502),
    ],
)
def test_times_are_read_as_slurm_reads_them(time, expected):
    assert minutes(time) == expected


def test_a_time_that_is_none_is_one_line():
    with pytest.raises(UserError, match="launcher.time must be minutes, h:mm:ss or d-hh:mm:ss; got a day"):
        minutes("a day")


def test_without_a_cluster_nothing_is_submitted(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match='Could not detect "srun".*--dry-run prints the script'):
        submit([["true"]], Settings(), tmp_path, trains=False)


def test_a_refusal_of_sbatch_is_one_line(cluster, tmp_path):
    (cluster / "sbatch").write_text("#!/bin/bash\necho 'sbatch: error: invalid partition specified: gpu' >&2; exit 1\n")
    with pytest.raises(UserError, match="^sbatch refused it: sbatch: error: invalid partition specified: gpu$"):
        submit([["true"]], Settings(), tmp_path / "logs", trains=False)


ENDS = {0: "sys.exit(0)", 1: "sys.exit(1)", 75: "sys.exit(75)", 140: "os.kill(os.getpid(), signal.SIGUSR2)"}


@pytest.mark.parametrize(("code", "requeued"), [(0, None), (1, None), (75, "requeue 12\n"), (140, "requeue 12\n")])
def test_a_job_that_gave_its_machine_back_is_put_into_the_queue_again(code, requeued, cluster, tmp_path):
    words = [sys.executable, "-c", f"import os, signal, sys; {ENDS[code]}"]
    (job,) = submit([words], Settings(), tmp_path / "logs", trains=True)
    assert job.job_id == "12"
    assert run_script(cluster, SLURM_JOB_ID="12") == code
    asked = cluster / "asked"
    assert (asked.read_text() if asked.exists() else None) == requeued


def test_each_job_of_an_array_runs_its_own_command_and_is_requeued_alone(cluster, tmp_path):
    """The last job of an array has the number of the array: requeue 12 would start all of them again."""
    leave = [[sys.executable, "-c", f"open({str(tmp_path / name)!r}, 'w'); raise SystemExit(75)"] for name in "ab"]
    jobs = submit(leave, Settings(jobs=2), tmp_path / "logs", trains=False)
    assert [job.job_id for job in jobs] == ["12_0", "12_1"]
    last = {"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "1"}
    assert run_script(cluster, **last) == 75
    assert (tmp_path / "b").exists() and not (tmp_path / "a").exists()
    assert (cluster / "asked").read_text() == "requeue 12_1\n"
