"""The end of a run: its index becomes a version and the champion, or the run record says why not."""
