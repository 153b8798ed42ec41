"""Policies tried on the past: backtests, sweeps, comparisons, and the measures that all of them share.

A backtest is the engine itself over recorded inputs; there is no second evaluator. What it decided goes into one table
of a database in a temporary folder (`workspace`), and every figure is a query over that table (`measures`), so neither
the history nor the decisions have to fit into memory.

    files, store --> batches, operations --> replay --> columns --> decided (table) --> measures --> report
"""
