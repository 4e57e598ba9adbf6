"""The registry: one directory or gs:// prefix that outlives all runs."""

from components.errors import UserError
from components.progress import log
from components.registry.champion_log import ROLLBACK, ChampionEntry, ChampionLog, SupersededError
from components.registry.run_records import RunRecords
from components.registry.serving import Serving
from components.registry.versions import Versions
from components.storage import open_storage

# Half-written local files older than this belong to nobody.
_LITTER_SECONDS = 24 * 60 * 60


class Registry:
    """The versions, the log of champions, what a server loads, and the run records, below one root."""

    def __init__(self, root: str) -> None:
        self.storage = open_storage(root)
        self.versions = Versions(self.storage)
        self.champion_log = ChampionLog(self.storage)
        self.serving = Serving(self.storage, self.versions)
        self.runs = RunRecords(self.storage)

    @property
    def root(self) -> str:
        """The directory or gs:// prefix."""
        return self.storage.root

    def rollback(self, version: str = "", reason: str = "") -> ChampionEntry:
        """Makes an earlier version the champion again, under a new and higher place in the log.

        Args:
          version: its id; "" for the one that the present champion replaced.
          reason: for the champion log.

        Raises:
          UserError: if there is no such version, it is not whole, or the champion changed meanwhile.
        """
        champion = self.champion_log.latest()
        if champion is None:
            raise UserError(f"{self.root} has no champion to roll back from; publish a version first")
        version = version or self._before(champion)
        if version != champion.version:
            self.versions.check(version)
            self.finish_serving()
            champion = self._append_rollback(champion, version, reason)
        self.serving.complete(champion)
        return champion

    def finish_serving(self) -> None:
        """Completes what a killed publisher of the present champion left for the server to load.

        Done before another champion is named, so that of the champions a server may load, only the last one
        can ever be incomplete. One that cannot be completed does not stand in the way of the next.
        """
        champion = self.champion_log.latest()
        try:
            if champion is not None:
                self.serving.complete(champion)
        except UserError as error:
            log(f"going on without it: {error}")

    def clean(self) -> None:
        """Deletes what killed publishers left a day ago or earlier."""
        self.versions.remove_partial()
        self.storage.remove_litter(_LITTER_SECONDS)

    def _before(self, champion: ChampionEntry) -> str:
        version = self.champion_log.before_present()
        if not version:
            raise UserError(
                f"no champion came before {champion.version}; name the version to serve: "
                f"`twotower versions --registry {self.root}` lists them"
            )
        return version

    def _append_rollback(self, champion: ChampionEntry, version: str, reason: str) -> ChampionEntry:
        try:
            return self.champion_log.append(champion.sequence, version, ROLLBACK, run_id="", reason=reason)
        except SupersededError as error:
            raise UserError(
                f"the champion of {self.root} changed meanwhile; look at "
                f"`twotower versions --registry {self.root}` and repeat the rollback if it is still wanted"
            ) from error
