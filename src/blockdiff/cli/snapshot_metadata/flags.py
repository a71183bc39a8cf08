"""The flags of the original's two programs, and those that are ours: one table for the commands and the programs."""

from __future__ import annotations

import os

from blockdiff.cli.snapshot_metadata.goflags import Flag

IDENTITY = (
    Flag("namespace", "The namespace of the VolumeSnapshots.", "n"),
    Flag("snapshot", "The name of the VolumeSnapshot.", "s"),
    Flag(
        "previous-snapshot-id",
        "What changed since the snapshot with this CSI handle; goes before -previous-snapshot.",
        "P",
    ),
    Flag("previous-snapshot", "What changed since the VolumeSnapshot of this name.", "p"),
)
CLUSTER = (
    Flag("kubeconfig", "The kubeconfig file; where there is none, what a pod is given."),
    Flag("service-account", "Send a token of this service account; else of the caller's own."),
    Flag("service-account-namespace", "The namespace of that service account."),
    Flag("token-expiry", "Ask for tokens that are good for so many seconds.", kind="int", default=600),
    Flag("starting-offset", "Begin at this byte of the volume.", kind="int", default=0),
    Flag("max-results", "At most so many ranges a record; 0: the server decides.", kind="int", default=0),
)
ORIGINAL = (*IDENTITY, *CLUSTER)
OUTPUT_FORMAT = Flag("output-format", "What is written: table or json.", "o", default="table")
SOURCE = Flag("source-device-path", "The volume restored from the snapshot.", "src")
TARGET = Flag(
    "target-device-path",
    "The volume restored from the previous snapshot, or an empty one; it is WRITTEN to.",
    "tgt",
)
HELP = Flag("h", "Show all flags.", kind="bool", default=False)

OURS = (
    Flag("address", "Connect to HOST:PORT, whatever the SnapshotMetadataService says."),
    Flag("ca-cert-file", "Trust the CA certificates of this PEM file instead of the service's."),
    Flag("audience", "Ask for tokens for this audience instead of the service's."),
    Flag("server-name", "The name that the server's certificate must have, if not the host of the address."),
    Flag("token-file", "Send the token in this file; read again for each attempt."),
    Flag("client-cert-file", "Show the server this certificate (PEM), where it knows clients by them."),
    Flag("client-key-file", "The key of that certificate (PEM)."),
    Flag("context", "The context of the kubeconfig."),
    Flag("csi-driver", "The CSI driver, which is then not looked up."),
    Flag("timeout", "Seconds that one attempt of the stream may take.", kind="int", default=900),
    Flag("retries", "Attempts in a row that may bring nothing new.", kind="int", default=5),
    Flag("no-resume", "Do not go on after a broken stream.", kind="bool", default=False),
)
FORCE = Flag("force", "Write to the target even when it is mounted, held or locked.", kind="bool", default=False)


def default_kubeconfig() -> str:
    """``~/.kube/config``, as the original finds it; empty without a home."""
    home = os.environ.get("HOME", "")
    return os.path.join(home, ".kube", "config") if home else ""
