"""frmcore: the SQLite of fraud decisions."""
