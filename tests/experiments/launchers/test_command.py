import json
import pickle
import subprocess
import sys

from experiments.launchers.command import Command

SHOW = "import json, os, sys; print(json.dumps([os.getpid(), os.environ.get('A'), os.environ.get('B')])); sys.exit(75)"


def test_a_command_takes_the_place_of_the_process_that_calls_it():
    """Its number, exit code and output are the job's, and its environment is the one that was asked for."""
    command = Command(words=[sys.executable, "-c", SHOW], environment={"A": "set", "B": None})
    program = f"import pickle, os; os.environ['B'] = 'there'; pickle.loads({pickle.dumps(command)!r})()"
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    printed, _ = child.communicate(timeout=60)
    assert json.loads(printed) == [child.pid, "set", None] and child.returncode == 75
