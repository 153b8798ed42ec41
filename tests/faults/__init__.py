"""Faults that a store must survive: kills, power cuts, failing and stalling disks, rot. `python -m faults KIND COUNT`."""
