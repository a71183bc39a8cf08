"""backup.py NAMESPACE OLD NEW DEVICE BACKUP: writes what changed from OLD to NEW into a backup of OLD."""

import os
import sys

from blockdiff.csi import Args, build_clients, snapshot_metadata

namespace, old, new, device, backup = sys.argv[1:]
clients = build_clients(os.environ.get("KUBECONFIG"))  # None: what a pod has
args = Args(clients=clients, namespace=namespace, snapshot_name=new, prev_snapshot_name=old)
with open(device, "rb") as volume, open(backup, "r+b") as copy, snapshot_metadata(args) as records:
    for record in records:
        for offset, size, _ in record.extents:
            for at in range(offset, offset + size, 1 << 20):
                data = os.pread(volume.fileno(), min(1 << 20, offset + size - at), at)
                if os.pwrite(copy.fileno(), data, at) != min(1 << 20, offset + size - at):
                    sys.exit(f"{device} or {backup} ends before {offset + size}")
    os.fsync(copy.fileno())
