"""What frmcore's speed is measured with: `make bench`, `make bench-peers`. Nothing here is part of the package."""
