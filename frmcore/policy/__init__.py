"""Policies: text in, one checked and immutable `Policy` out."""

from frmcore.policy.load import load
from frmcore.policy.tree import Policy

__all__ = ["Policy", "load"]
