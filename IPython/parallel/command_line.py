"""``python -m IPython.parallel``: run an unmodified script with its process pools on a cluster.

The order of events: the command line is read and the program looked for; the cluster is started or connected to;
concurrent.futures' process pool becomes a view of it; the program runs in this process, as `__main__`; the interpreter
ends as it ends for the program (threads, the program's atexit callbacks); then ours, the last one, prints the closing
line and lets the cluster go. Whatever cuts that short, the guard of `local_cluster` stops the engines.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import argparse
import atexit
import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NoReturn

from .inheritance import engines_inherit
from .pools.backing import Backing
from .pools.stdlib_pools import DEFAULT_KINDS, KINDS, standing_in
from .running.cluster_choice import (
    ChosenCluster,
    ClusterUnavailable,
    connect,
    connection_file_of,
    start_local,
)
from .running.engine_mirror import EngineMirror
from .running.report_file import ReportFile, ReportRefused
from .running.run_report import Screen, Tally
from .running.script_runner import Command, Module, Program, ProgramNotFound, Script, StandardInput

__all__ = ["main"]

USAGE_ERROR = 2

# Seconds an existing cluster has to answer. A controller that is there answers in milliseconds, also over a tunnel.
CONNECT_TIMEOUT = 5.0

# Seconds until the last futures are counted, all calls being done.
COUNT_TIMEOUT = 5.0

# Options that are followed by a value: where our own end and the program begins must be known before they are parsed.
VALUE_OPTIONS = frozenset(
    {"-n", "--profile", "--cluster-id", "--connection-file", "--timeout", "--pools", "--report"}
)
PROGRAMS = {"-c": Command, "-m": Module}


def main(argv: list[str] | None = None) -> None:
    """Run a program as the command line says; leaves as the program leaves.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name, by default those of this process.

    Raises
    ------
    SystemExit
        With status 2 for a wrong command line or a cluster that cannot be had; else from the program.
    BaseException
        Whatever the program raises.
    """
    parser = _parser()
    own, program = _split(parser, list(sys.argv[1:] if argv is None else argv))
    options = parser.parse_args(own)
    run = _prepare(parser, options, program)
    atexit.register(run.finish)
    try:
        program.run()
    except KeyboardInterrupt:
        run.abandon()
        raise


class _Parser(argparse.ArgumentParser):
    """Reports errors in one line; `--help` says the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{self.prog}: error: {message}\n")


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m IPython.parallel",
        usage="%(prog)s [options] (script.py | -m module | -c code | -) [arguments]",
        description="Run a script with its process pools on an IPython cluster; by default on a local one of its own.",
        allow_abbrev=False,
    )
    cluster = parser.add_argument_group("cluster")
    cluster.add_argument("-n", type=int, metavar="N", help="engines to start (default: one per usable core)")
    cluster.add_argument("--profile", metavar="P", help="use the running cluster of this IPython profile")
    cluster.add_argument("--cluster-id", metavar="C", help="use the running cluster with this id")
    cluster.add_argument("--connection-file", metavar="F", type=Path, help="use the running cluster of this file")
    cluster.add_argument(
        "--timeout",
        type=float,
        default=CONNECT_TIMEOUT,
        metavar="S",
        help="seconds a running cluster has to answer (default: %(default)g)",
    )
    parser.add_argument(
        "--pools",
        type=_pool_kinds,
        default=DEFAULT_KINDS,
        metavar="KINDS",
        help=f"which pools to run on the cluster, of {','.join(KINDS)} (default: {','.join(DEFAULT_KINDS)})",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write a page that shows which engine did what when"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no closing line")
    return parser


def _pool_kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(kind.strip() for kind in text.split(","))
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(KINDS)}; join several by commas")
    return kinds


def _split(parser: _Parser, argv: list[str]) -> tuple[list[str], Program]:
    """Our own arguments, and the program with its arguments; the same rules as python's own."""
    index = 0
    while index < len(argv):
        argument = argv[index]
        kind, glued = PROGRAMS.get(argument[:2]), argument[2:]
        if kind is not None:
            rest = ([glued] if glued else []) + argv[index + 1 :]
            if not rest:
                parser.error(f"argument expected for the {argument} option")
            return argv[:index], kind(rest[0], rest[1:])
        if argument == "-" or not argument.startswith("-"):
            kind = StandardInput if argument == "-" else Script
            return argv[:index], kind(argument, argv[index + 1 :])
        index += 2 if argument in VALUE_OPTIONS else 1
    # `--help` alone is fine, and a wrong option is the better thing to complain about.
    parser.parse_args(argv)
    parser.error("a script, -m module or -c code is needed")


def _prepare(parser: _Parser, options: argparse.Namespace, program: Program) -> _Run:
    try:
        program.check()
        report = _report(options, program)
        return _Run(_choose_cluster(parser, options), options.quiet, options.pools, report)
    except (ProgramNotFound, ReportRefused, ClusterUnavailable) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        # Nothing of the program has run: there is no traceback worth showing.
        parser.exit(130)


def _report(options: argparse.Namespace, program: Program) -> ReportFile | None:
    if options.report is None:
        return None
    report = ReportFile(options.report, program.title)
    report.check()
    return report


def _choose_cluster(parser: _Parser, options: argparse.Namespace) -> ChosenCluster:
    named = options.profile is not None or options.cluster_id is not None
    if options.connection_file is not None and named:
        parser.error("--connection-file says it all: give no --profile or --cluster-id with it")
    if options.n is not None and (named or options.connection_file is not None):
        parser.error("-n is for a local cluster: a running one has the engines it has")
    if options.n is not None and options.n < 1:
        parser.error(f"-n needs at least one engine, not {options.n}")
    if named:
        return connect(connection_file_of(options.profile, options.cluster_id), options.timeout)
    if options.connection_file is not None:
        return connect(options.connection_file, options.timeout)
    return start_local(options.n)


class _Run:
    """What surrounds the program, from the cluster being there to its being let go."""

    def __init__(
        self, cluster: ChosenCluster, quiet: bool, pools: tuple[str, ...], report: ReportFile | None = None
    ) -> None:
        self._owner = os.getpid()
        self._cluster = cluster
        self._quiet = quiet
        self._engines = len(cluster.client.ids)
        self._screen = Screen(bar=not quiet)
        self._tally = Tally(self._screen)
        self._abandoned = False
        self._report = report
        if report is not None:
            report.open(cluster.client.ids)
        mirror = EngineMirror(cluster, modules=True)
        backing = Backing(
            cluster.client,
            on_output=self._screen.write,
            on_submit=self._submitted,
            on_over=self._over,
            before_pool=mirror.update if cluster.is_ours else lambda space: None,
            interrupt=cluster.interrupt,
            engines_are_ours=cluster.is_ours,
            fixed_globals=True,
        )
        self._undo = ExitStack()
        self._undo.callback(cluster.close)
        if cluster.is_ours:
            self._undo.enter_context(engines_inherit())
        self._undo.enter_context(standing_in(backing, pools))

    def _submitted(self, number: int) -> None:
        if self._report is not None:
            self._report.submitted(number)
        self._tally.submitted(number)

    def _over(self, futures: Sequence[Future[Any]]) -> None:
        # The report first: what has been tallied is in it.
        if self._report is not None:
            self._report.over(futures)
        self._tally.over(futures)

    def abandon(self) -> None:
        """Let the cluster go now: nobody waits for its calls any more."""
        self._abandoned = True
        self._cluster.abandon()

    def finish(self) -> None:
        """The last atexit callback: all work is done, or never will be."""
        if os.getpid() != self._owner:
            # A forked child inherits our callback, but neither the cluster nor the terminal.
            return
        with self._undo:
            if not self._abandoned:
                self._tally.wait_until_settled(COUNT_TIMEOUT)
            self._screen.close()
            if not self._quiet:
                self._print_closing_line()
            if self._report is not None:
                self._write_report(self._report)

    def _print_closing_line(self) -> None:
        # The streams may be closed, or nobody reads them any more: their own end will say so, as it would without us.
        with suppress(OSError, ValueError, AttributeError):
            sys.stdout.flush()
        with suppress(OSError, ValueError, AttributeError):
            print(self._tally.closing_line(self._engines), file=sys.__stderr__, flush=True)

    def _write_report(self, report: ReportFile) -> None:
        try:
            report.write()
        except OSError as error:
            # The program has ended as it has; its status stays its own.
            with suppress(OSError, ValueError, AttributeError):
                print(f"IPython.parallel: can't write {str(report.path)!r}: {error.strerror}", file=sys.__stderr__)
