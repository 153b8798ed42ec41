"""The version of frmcore."""

VERSION = "0.1.0"
