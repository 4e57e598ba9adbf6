"""Facts that hold of a registry whatever has happened to its writers."""

from components.registry.champion_log import ChampionEntry
from components.registry.registry import Registry, published_index


def whole_champion(registry: Registry) -> ChampionEntry:
    """The champion, once it is clear that readers and servers find whole ones.

    The index of the version of the run RUN holds "the index of RUN".
    """
    champion = registry.champion("")
    manifest = registry.versions.manifest(champion.version)
    registry.versions.check(champion.version)
    index = published_index(registry.root) / "saved_model.pb"
    assert index.read_text() == f"the index of {manifest.run_id}"
    last = [registry.champion_log.entry(sequence) for sequence in registry.champion_log.sequences()[-3:]]
    loadable = [entry for entry in last if registry.serving.is_loadable(entry.sequence)]
    assert loadable, "a server finds nothing"
    assert list(registry.serving.faults(loadable[-1], registry.storage.stat)) == []
    return champion


def check_all_versions(registry: Registry) -> None:
    """All that are visible are whole, and so is the log."""
    for version in registry.versions.ids():
        registry.versions.check(version)
    registry.champion_log.entries()
