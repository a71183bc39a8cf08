"""One record a line, in the words of the Kubernetes snapshot-metadata lister."""

from blockdiff.emitters.json import JsonlEmitter

__all__ = ["JsonlEmitter"]
