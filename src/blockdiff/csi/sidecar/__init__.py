"""The Kubernetes side of changed block tracking: who may ask, about which snapshot, and the driver that answers."""
