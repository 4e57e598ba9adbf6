"""The container image that every component runs on."""

from components import __version__

# A tag of its own for every version: KFP's cache key holds the image's name, so a tag that moves gives
# stale hits. The pipeline's parameter `image` replaces it.
IMAGE = f"twotower:{__version__}"
