"""What one would use instead of frmcore, on the same stream, checked to give the same answers: `make bench-peers`."""
