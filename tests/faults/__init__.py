"""Faults that a store must survive: kills, power cuts, failing and hanging disks, rot."""
