"""Golem: domain whitelists to import, computation manifests to admit. Loaded by those two commands alone."""
