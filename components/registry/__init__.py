"""Every version that was published, which of them is served, and how every run ended."""
