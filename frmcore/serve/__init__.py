"""The owner process: one engine, reached by other processes over a unix socket. docs/protocol.md is what it speaks."""
