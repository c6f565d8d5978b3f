"""observer completion: what a shell must read to complete the observer's words with the Tab key."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping
from typing import Final

__all__ = ["complete", "configure", "run"]

_SHELLS: Final = ("bash", "zsh", "fish")
_DESCRIPTION: Final = """\
Print what makes bash, zsh or fish complete verbs, options and files behind
observer with the Tab key. For good, it stands in the shell's start-up file:

  ~/.bashrc                     eval "$(observer completion bash)"
  ~/.zshrc, behind compinit     eval "$(observer completion zsh)"
  ~/.config/fish/config.fish    observer completion fish | source
"""
_EPILOG: Final = """\
Examples:
  observer completion bash
  observer completion fish > observer.fish
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("shell", metavar="SHELL", choices=_SHELLS, help="bash, zsh or fish")


def run(arguments: argparse.Namespace) -> int:
    """Print the shell's code; return the exit status."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["observer"], shell=arguments.shell))
    return 0


def complete(verbs: Mapping[str, str]) -> None:
    """Answer the shell, which asks by the environment (see argcomplete), and end the process."""
    from argcomplete import autocomplete

    parser = argparse.ArgumentParser(prog="observer")
    parser.add_argument("--version", action="store_true")
    choices = parser.add_subparsers()
    for name, text in verbs.items():
        importlib.import_module(f"observer.cli.{name}").configure(choices.add_parser(name, help=text))
    autocomplete(parser)
