"""The command line: parse, call, print, one file per command.

Everything heavy is imported by the command that needs it.
"""

from mlbench.cli.cache import cache
from mlbench.cli.compare import compare
from mlbench.cli.completion import completion
from mlbench.cli.compress import compress
from mlbench.cli.data import data
from mlbench.cli.doctor import doctor
from mlbench.cli.faces import faces
from mlbench.cli.group import cli, main
from mlbench.cli.inspect import inspect
from mlbench.cli.list import list_plugins
from mlbench.cli.live import live
from mlbench.cli.measure import measure
from mlbench.cli.predict import predict
from mlbench.cli.prepare import prepare
from mlbench.cli.report import report
from mlbench.cli.run import run
from mlbench.cli.search import search
from mlbench.cli.train import train

__all__ = ["cli", "main"]

for _command in (
    cache,
    compare,
    completion,
    compress,
    data,
    doctor,
    faces,
    inspect,
    list_plugins,
    live,
    measure,
    predict,
    prepare,
    report,
    run,
    search,
    train,
):
    cli.add_command(_command)
