"""Containers of input files: archives, and directories of parts."""
