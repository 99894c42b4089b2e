"""Tables to be sent around: without the hosts, users and folders that a store records.

Folders are relative to the store, and of other paths the last part is left. Identities stay: ids,
digests, commits, versions, devices.
"""

import os
import re
import socket
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pandas as pd

from transferlab.experiment.keys import PATHS
from transferlab.results import published
from transferlab.results.loading import Results
from transferlab.runtime import environment

OMITTED = ("host", "runtime.store", "runtime.cache")  # columns
FOLDERS = ("path", "folder", "data.root", "split.a.root", "split.groups", "split.weights")
TEXTS = ("reason",)
RECORDED = PATHS  # a few values of each
# What is left of a path in a sentence: it ends at white space, a quote or a punctuation mark
_NAME = r"[^\s'\"`:;,()<>|/]"
_PATH = re.compile(rf"(?<![\w.~/])(?!//)(?:~[\w.-]*)?/(?:{_NAME}+/+)*({_NAME}*)")
_PROCESS = re.compile(r"\b(process \d+) on [\w.-]+")
_OF_USER = re.compile(r"/(?:home|Users)/([^/]+)")


class Sharing:
    """Of the results of stores: what in a table or a sentence names their machine or its user."""

    def __init__(self, results: Results) -> None:
        self.results = results

    @property
    def store(self) -> str:
        """The names of the stores, without the folders above them."""
        names = self.results.stores
        return ", ".join(s if published.is_published(s) else _last(s) for s in names)

    def table(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table without hosts, with folders relative to the store, and such notes."""
        shared = table.drop(columns=[key for key in OMITTED if key in table])
        for keys, change in ((FOLDERS, self._folder), (TEXTS, self.text)):
            for key in keys:
                if key in shared:
                    known = {value: change(value) for value in shared[key].dropna().unique()}
                    shared[key] = shared[key].map(known, na_action="ignore")
        notes = [self.text(note) for note in table.attrs.get("notes", ())]
        shared.attrs = {**table.attrs, "notes": notes}
        return shared

    def text(self, text: str) -> str:
        """A sentence with the last part of each path, and without hosts and users."""
        for store in self.results.stores:
            text = text.replace(f"{store}/", "")
        for place in self._places:
            text = re.sub(rf"{re.escape(place)}(?![\w.-])", lambda match: _last(match[0]), text)
        for above in _above():
            text = text.replace(f"{above}/", "")
        text = _PROCESS.sub(r"\1", _PATH.sub(r"\1", text))
        for names, word in ((self._hosts, "HOST"), (self._users, "USER")):
            for name in names:
                text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", word, text)
        return text

    def _folder(self, folder: str) -> str:
        for store in self.results.stores:
            if "/" not in (name := folder.removeprefix(f"{store}/")):
                return name  # of a run, of which there are many
        for store in self.results.stores:
            if (path := Path(folder)).is_relative_to(store):
                return str(path.relative_to(store))
        return _last(folder)

    @cached_property
    def _places(self) -> list[str]:
        """The paths that records and errors may name, longer ones first."""
        table = self.results.table
        recorded = (table[key].dropna().unique() for key in RECORDED)
        places = {str(place) for column in recorded for place in column}
        places.update(self.results.stores)
        return sorted((p for p in places if len(p) > 1 and "/" in p), key=len, reverse=True)

    @cached_property
    def _hosts(self) -> list[str]:
        hosts = {str(host) for host in self.results.table["host"].dropna()} | {socket.gethostname()}
        return sorted(filter(None, hosts), key=len, reverse=True)

    @cached_property
    def _users(self) -> list[str]:
        return sorted({*self._named_users()} - {"", "root"}, key=len, reverse=True)

    def _named_users(self) -> Iterator[str]:
        for variable in ("USER", "LOGNAME"):
            yield environment.value(variable) or ""
        for place in self._places:
            yield from _OF_USER.findall(place)


def _above() -> tuple[str, ...]:
    """Folders whose own names say where somebody works."""
    return os.getcwd(), os.path.expanduser("~")


def _last(path: str) -> str:
    return Path(path).name or path
