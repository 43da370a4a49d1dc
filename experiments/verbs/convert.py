"""`chromafill convert`: a published file of weights in, a checkpoint out that every other verb takes."""

import hashlib
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from rich.table import Table

from experiments.arguments import Parser
from experiments.checkpoints import task_of
from experiments.config_store import papers, path_of
from experiments.errors import UserError, nearest
from experiments.tables import show
from experiments.verbs.train import TRY_IT
from lightning_modules.pretrained.published import Published, convert, covers, read_weights


def parser():
    parser = Parser(
        "convert",
        "Turn weights that authors or ports published into a checkpoint. The file's content tells its format.",
        "chromafill convert colorful colorization_release_v2-9b330a0b.pth -o zhang2016.ckpt",
    )
    parser.add_argument("paper", nargs="?", help="whose weights they are, by the name that model=... has")
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="the published file: .pth, .caffemodel, .t7, .safetensors"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="the checkpoint that is written")
    parser.add_argument("--format", metavar="NAME", help="take the file for this format and no other")
    parser.add_argument(
        "--mean", nargs=3, type=float, metavar=("R", "G", "B"), help="mean colour in [0,1], where FILE lacks one"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it exists")
    parser.add_argument("--list", action="store_true", help="print the formats that are known and end")
    return parser


def run(arguments):
    if arguments.list:
        show(table())
        return
    for name in ("paper", "file", "output"):
        if getattr(arguments, name) is None:
            wanted = "-o OUT" if name == "output" else name.upper()
            raise UserError(f"{wanted} is required; --list prints what can be converted")
    cls, formats = formats_of(arguments.paper)
    check(arguments, formats)
    tensors = read_weights(arguments.file)
    if arguments.mean is not None:
        if any(covers("mean", key) for key in tensors):
            raise UserError(f"--mean: {arguments.file} has a mean of its own")
        tensors["mean"] = torch.tensor(arguments.mean)
    format, module, state = convert(cls, formats, tensors, arguments.file, arguments.format)
    write(arguments.output, checkpoint(arguments, format, module, state))
    print(report(arguments, format, module, state, len(tensors)))


def published(cls):
    """The formats in the file of a paper."""
    return vars(sys.modules[cls.__module__]).get("PUBLISHED", ())


def formats_of(paper):
    """(class, formats) of a paper that has published weights."""
    known = {name: cls for name, (_, cls) in papers().items() if published(cls)}
    if paper not in known:
        raise UserError(f"no published weights of '{paper}' are known{nearest(paper, known)}")
    return known[paper], published(known[paper])


def table():
    """Every format of every paper."""
    table = Table("paper", "--format", "file", "licence", title="chromafill convert")
    for name, (_, cls) in papers().items():
        for each in published(cls):
            licence = each.licence if isinstance(each, Published) else f"refused: {each.why}"
            table.add_row(name, each.name, each.source, licence)
    return table


def check(arguments, formats):
    if arguments.mean is not None and not all(0 <= value <= 1 for value in arguments.mean):
        raise UserError(f"--mean must be red, green and blue from 0 to 1; got {' '.join(map(str, arguments.mean))}")
    names = [each.name for each in formats if isinstance(each, Published)]
    if arguments.format not in (None, *names):
        raise UserError(f"--format: no '{arguments.format}' of {arguments.paper}{nearest(arguments.format, names)}")
    output = Path(arguments.output)
    if not Path(arguments.file).is_file():
        raise UserError(f"no file {arguments.file}")
    if output.is_dir() or not output.parent.is_dir():
        raise UserError(f"-o {output} must name a file in a folder that exists")
    if output.exists() and Path(arguments.file).samefile(output):
        raise UserError(f"-o {output} is the file that is read")
    if output.exists() and not arguments.overwrite:
        raise UserError(f"{output} exists; give --overwrite to replace it")


def checkpoint(arguments, format, module, state):
    """What training writes, as far as other verbs read it; `converted` says where it comes from."""
    with open(arguments.file, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    model = asdict(module.cfg) | {"_target_": path_of(type(module))}
    content = {
        "state_dict": state,
        "config": {"experiment": f"{arguments.paper}_{format.name}", "model": model, "data": {"masks": None}},
        "iteration": 0,
        "converted": {"source": format.source, "sha256": digest, "licence": format.licence},
    }
    return content if format.part is None else content | {"part": format.part}


def write(path, content):
    """Writes a checkpoint under a temporary name and renames it."""
    temporary = Path(f"{path}.tmp")
    try:
        torch.save(content, temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise UserError(f"{path} cannot be written: {str(error).splitlines()[0]}") from None
    finally:
        temporary.unlink(missing_ok=True)


def report(arguments, format, module, state, tensors):
    """What was converted, what to know about it, and the command to try it with."""
    numbers = sum(value.numel() for value in state.values())
    lines = [
        f"format      {format.name}: {format.source}",
        f"read        {tensors} tensors; the checkpoint has {len(state)} with {numbers:,} numbers",
        f"licence     {format.licence}; it holds for the checkpoint too",
        *(f"not in it   {key}: {instead}" for key, instead in format.missing.items()),
        *(f"note        {note}" for note in format.notes),
    ]
    if format.part is None:
        verb = [*TRY_IT[task_of(module)], "--checkpoint", arguments.output, "-o", "results"]
        command = shlex.join(["chromafill", *verb])
    else:
        lines.append(f"part        {format.part}")
        command = f"chromafill train model={arguments.paper} model.init_from={shlex.quote(arguments.output)} ..."
    return "\n".join([*lines, f"checkpoint  {arguments.output}", f"try it      {command}"])
