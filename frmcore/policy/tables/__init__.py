"""Decision tables: conditions in columns, one row a rule. Rows become rules in the checked tree, like any other."""
